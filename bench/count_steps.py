"""What the host does in a steady step: bytecodes, calls, bytes; on CuPy's stand-in also launches.

    python bench/count_steps.py      prints JSON, {case: {figure: count}}

A step is steady after some that were not counted. Counted is what runs in gpuopt's own files; what
others' Python files run (NumPy's, PyTorch's) depends on their versions, and counts by itself.
"""

import importlib.util
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.count_python import OTHERS, PEAK, WARM, Step, host, peak

GRAIN = 16  # KiB: threads that come and go make a peak differ by less
Counts = dict[str, dict[str, float]]


def count() -> Counts:
    import numpy as np

    import gpuopt
    from gpuopt.bench import cases

    found: Counts = {}
    lists = {name: cases.LISTS[name]() for name in ("MLP 784-128-10", "500 tensors of 256")}
    for name, shapes in lists.items():
        params, grads, others = ([np.ones(s, np.float32) for s in shapes] for _ in range(3))
        opt = gpuopt.Adam(params, backend="numba")
        found[f"gpuopt.Adam, {name}"] = host(lambda opt=opt, grads=grads: opt.step(grads))
        turns = turning(grads, others)
        step = lambda opt=opt, turns=turns: opt.step(next(turns))  # noqa: E731
        found[f"gpuopt.Adam, {name}, new gradients"] = host(step)
        opt = gpuopt.AdamW(params, average=0.99, backend="numba")
        step = lambda opt=opt, grads=grads: opt.step(grads, max_norm=1.0)  # noqa: E731
        found[f"clip by norm, AdamW, average, {name}"] = host(step)
        if importlib.util.find_spec("torch"):
            found[f"gpuopt.torch.Adam, {name}"] = host(torch_step(shapes))
    for backend in ("numba", "numpy"):
        more = growth(backend)
        found[f"gpuopt.Adam, backend {backend}"] = {"KiB more at the peak for ten times": more}
    if shutil.which("g++"):
        found |= device(lists["500 tensors of 256"])
    return found


def turning(*sets: list[Any]) -> Iterator[list[Any]]:
    while True:
        yield from sets


def torch_step(shapes: Any) -> Step:
    import torch

    import gpuopt.torch

    params = [torch.nn.Parameter(torch.ones(s)) for s in shapes]
    for p in params:
        p.grad = torch.ones_like(p)
    return gpuopt.torch.Adam(params).step


def device(shapes: Any) -> Counts:
    """A step on a GPU that tests make believe: gpuopt's own code is that of a real one."""
    import numpy as np

    import gpuopt
    from tests.without_gpu import cupy_stand_in as stand_in

    found: Counts = {}
    with stand_in.installed(stand_in.module()):
        params, grads = ([stand_in.ndarray(np.ones(s, np.float32)) for s in shapes] for _ in "12")
        opt = gpuopt.Adam(params, backend="cupy")
        plain = lambda: opt.step(grads)  # noqa: E731
        whole = lambda: opt.step(grads, max_norm=1.0, skip_nonfinite=True)  # noqa: E731
        for name, step in (("Adam", plain), ("Adam, clip by norm, skip", whole)):
            figures = host(step)
            del figures[OTHERS], figures[PEAK]  # the stand-in's own
            stand_in.events.clear()
            step()
            kinds = Counter(event.kind for event in stand_in.events)
            uploaded = sum(x.amount for x in stand_in.events if x.kind == "upload")
            figures |= {"launches": kinds["launch"], "uploads": kinds["upload"]}
            figures |= {"bytes uploaded": uploaded, "allocations": kinds["allocate"]}
            figures |= {"waits and downloads": kinds["wait"] + kinds["download"]}
            found[f"backend cupy, {name}, 500 tensors of 256"] = figures
    return found


def growth(backend: str) -> int:
    """KiB at the peak of a step of 2e6 elements beyond those of 2e5, to GRAIN."""
    import numpy as np

    import gpuopt

    peaks = []
    for n in (200_000, 2_000_000):
        p, g = np.ones(n, np.float32), np.ones(n, np.float32)
        opt = gpuopt.Adam(p, backend=backend)
        for _ in range(WARM):
            opt.step(g)
        peaks.append(peak(lambda opt=opt, g=g: opt.step(g)))
    return max(peaks[1] - peaks[0], 0) // (GRAIN * 1024) * GRAIN


if __name__ == "__main__":
    json.dump(count(), sys.stdout)
