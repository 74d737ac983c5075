"""Did it get slower? By counts, which depend neither on the machine nor on its mood.

    python bench/counts.py --write    count, and make that the baseline, bench/results/counts.json
    python bench/counts.py --check    count, and compare with the baseline; 1 if something got worse

Counted are machine instructions of the CPU sweeps (count_cpu.py), PTX and registers of the GPU's
(count_gpu.py), and what Python does in a step (count_steps.py). What a compiler's or Python's
version decides is compared where the baseline has the same one, else said not to have been.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

BASELINE = ROOT / "bench/results/counts.json"
COMPILED = ("architecture", "numba", "llvmlite")
# By figure: the share that is no change, and the versions that it depends on.
FIGURES: dict[str, tuple[float, tuple[str, ...]]] = {
    "machine instructions an element": (0.02, COMPILED),
    "kinds of vectorised loops": (0, COMPILED),
    "PTX instructions": (0.02, ("nvrtc",)),
    "registers": (0, ("nvrtc",)),
    "spilled bytes": (0, ("nvrtc",)),
    "bytecodes in gpuopt": (0.02, ("python",)),
    "bytecodes in others' files": (0.02, ("python", "numpy", "numba", "torch")),
    "calls of C functions": (0, ("python",)),
    "bytes at the peak": (0.1, ("python", "numpy", "torch")),
}
WORDS = {"slower": "WORSE", "faster": "better"}
PACKAGES = {"nvrtc": "nvidia-cuda-nvrtc-cu12"} | {x: x for x in ("numba", "llvmlite", "numpy")}
THREADS: dict[str, str] = dict.fromkeys(("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"), "2")


def count() -> dict[str, Any]:
    """All figures, as gpuopt.bench.compare takes them."""
    from bench import count_cpu, count_gpu

    with tempfile.TemporaryDirectory(prefix="gpuopt-counts-") as folder:
        works: list[tuple[list[str], dict[str, str]]] = [(["count_steps.py"], THREADS)]
        if platform.machine() in ("x86_64", "AMD64"):
            for target in (count_cpu.AVX2, count_cpu.AVX512):
                chosen = {"NUMBA_CPU_NAME": target, "NUMBA_CPU_FEATURES": ""}
                cache = {"GPUOPT_CACHE_DIR": f"{folder}/{target}"}
                works.append((["count_cpu.py", target], chosen | cache))
        with started(works) as running:
            found = count_gpu.counts()
            for process in running:
                printed, _ = process.communicate()
                if process.returncode:
                    raise RuntimeError(f"{process.args} failed; the error is above")
                found |= json.loads(printed)
    rows = [
        {"case": case, "what": what, "count": number, "tolerance": tolerance, "depends": depends}
        for case, figures in found.items()
        for what, number in figures.items()
        for tolerance, depends in [FIGURES.get(what, (0, ()))]
    ]
    machine = {"architecture": platform.machine(), "versions": versions()}
    return {"command": "counts", "machine": machine, "rows": [], "counts": rows}


@contextlib.contextmanager
def started(
    works: list[tuple[list[str], dict[str, str]]],
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of files beside this one, each with its own environment."""
    running = []
    try:
        for (file, *args), env in works:
            command = [sys.executable, str(ROOT / "bench" / file), *args]
            env = {**os.environ, "PYTHONHASHSEED": "0", **env}
            running.append(subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True))
        yield running
    finally:
        for process in running:
            process.kill()
            process.wait()


def versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name, package in (PACKAGES | {"torch": "torch"}).items():
        try:
            found[name] = importlib.metadata.version(package).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def missing() -> list[str]:
    """Tools without which a part is not counted."""
    wanted = {name for name, version in versions().items() if version is None}
    return sorted(wanted | ({"g++"} if shutil.which("g++") is None else set()))


def write(found: dict[str, Any]) -> int:
    from gpuopt.replacing import replacing

    if missing():
        print(f"not written: {', '.join(missing())} not found, and a baseline has all figures")
        return 2
    with replacing(BASELINE) as target:
        target.write_text(as_text(found))
    print(f"{len(found['counts'])} figures: {BASELINE}")
    return 0


def as_text(found: dict[str, Any]) -> str:
    """JSON with a line for each figure, so that a change's difference shows which."""
    about = json.dumps({**found, "counts": []}).removesuffix("]}")
    rows = ",\n".join(json.dumps(row) for row in found["counts"])
    return f"{about}\n{rows}\n]}}\n"


def check(baseline: dict[str, Any], found: dict[str, Any]) -> int:
    """Print what changed; 1 if something got worse, or the baseline has not the same figures."""
    from gpuopt.bench.compare import compare
    from gpuopt.bench.differing import unmatched

    compared = compare(baseline, found)
    for x in compared:
        if x.verdict in WORDS:
            print(f"{WORDS[x.verdict]}: {x.case}: {x.what}: {x.before:g}, now {x.after:g}")
    for why, number in Counter(x.why for x in compared if x.why).items():
        print(f"NOT COMPARED: {number} figures, for {why}")
    lost = unmatched(baseline, found, "the baseline", "the present")
    excused = bool(missing()) and not os.environ.get("CI")
    for line in lost:
        print(line)
    if missing():
        print(f"NOT COUNTED, for {', '.join(missing())} is not installed, what needs it")
    kinds = [x.verdict for x in compared]
    print(", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)))
    if "slower" in kinds or (lost and not excused):
        print("To accept these figures: python bench/counts.py --write, and say why in the commit.")
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Count, and write or check the baseline.")
    does = parser.add_mutually_exclusive_group(required=True)
    does.add_argument("--write", action="store_true", help="make the figures the baseline")
    does.add_argument("--check", action="store_true", help="compare them with the baseline")
    if parser.parse_args().write:
        return write(count())
    return check(json.loads(BASELINE.read_text()), count())


if __name__ == "__main__":
    sys.exit(main())
