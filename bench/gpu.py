"""gpuopt on a GPU against PyTorch, naive CuPy and the GPU's own limit, as JSON.

    python bench/gpu.py --out FOLDER            FOLDER/gpu.json, for bench/results
    python bench/gpu.py --out FOLDER --sweep    FOLDER/sweep.json: other shapes of launch

Parity is checked before anything is timed; peers take turns with gpuopt in one process. A row that
fails is recorded with its traceback, and the others go on.
"""

import argparse
import gc
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

SIZES = tuple(int(10 ** (k / 2)) for k in range(6, 17))  # 1e3 to 1e8
Part = Callable[[], Any]


def rows(quick: bool) -> dict[str, Part]:
    """Each part of the table by name: a function that gives its rows."""
    from bench import gpu_rows, gpu_small

    rounds = 4 if quick else 20
    parts: dict[str, Part] = {
        f"adam, {name}": lambda name=name: gpu_rows.adam(name, rounds) for name in gpu_rows.BIG
    }
    parts["small"] = lambda: gpu_small.small(rounds)
    parts["host times"] = gpu_small.host_times
    parts["rmsprop"] = lambda: gpu_rows.rmsprop(False, rounds)
    parts["centered"] = lambda: gpu_rows.rmsprop(True, rounds)
    parts["whole"] = lambda: gpu_rows.whole_step("GPT-2 small", rounds)
    return parts


def extras(quick: bool) -> dict[str, Part]:
    from bench import gpu_extras

    return {
        "pool": gpu_extras.pool,
        "prefetch": gpu_extras.prefetching,
        "copies": lambda: gpu_extras.copies(4 if quick else 20),
        "crossover": lambda: gpu_extras.crossover(SIZES[:-2] if quick else SIZES),
        "host_profile": gpu_extras.host_profile,
    }


def rows_at_the_end(quick: bool) -> dict[str, Part]:
    """What needs a profiler, which may slow down all that comes after it."""
    from bench import gpu_small

    return {"launches": gpu_small.launches}


def sweeps(quick: bool) -> dict[str, Part]:
    from bench import gpu_sweep

    return gpu_sweep.parts(quick)


class Results:
    """What was found so far, written to a file after every part."""

    def __init__(self, path: Path, seconds: float) -> None:
        from gpuopt.bench.machine import clocks, machine
        from gpuopt.bench.results import save

        self.path, self.clocks, self.save = path, clocks, save
        self.begin, self.seconds = time.perf_counter(), seconds
        self.found: dict[str, Any] = {"machine": machine(), "rows": []}
        self.found |= {"extras": {}, "failures": [], "took": {}}

    def take(self, name: str, part: Part, keep: Callable[[Any], None]) -> None:
        begin = time.perf_counter()
        print(f"== {name} ({begin - self.begin:.0f} s)", flush=True)
        try:
            if begin - self.begin > self.seconds:
                raise TimeoutError(f"not run: {self.seconds:.0f} seconds are over")
            keep(part())
        except Exception as error:
            print(traceback.format_exc(), flush=True)
            failure = {"case": name, "error": f"{type(error).__name__}: {error}"}
            self.found["failures"].append({**failure, "traceback": traceback.format_exc()})
        self.found["took"][name] = time.perf_counter() - begin
        self.found["machine"]["clocks_at_the_end"] = self.clocks()
        self.save(self.path, self.found)
        free_memory()


def free_memory() -> None:
    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


def show(made: list[dict[str, Any]]) -> None:
    from bench.table import aim, measured

    for row in made:
        print(f"  {row['case']}: {measured(row)}, aim {aim(row)}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--sweep", action="store_true", help="try other shapes of launch instead")
    parser.add_argument("--only", default="", help="only parts whose name holds this")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no part after so long")
    args = parser.parse_args()
    from gpuopt import backends

    reason = backends.unavailable("cupy")
    if reason:
        print(f"NO GPU, so nothing was measured: {reason}", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    results = Results(args.out / ("sweep.json" if args.sweep else "gpu.json"), args.seconds)
    tables = (
        [("extras", sweeps)]
        if args.sweep
        else [
            ("rows", rows),
            ("extras", extras),
            ("rows", rows_at_the_end),
        ]
    )
    for kind, make in tables:
        parts: dict[str, Part] = {}
        results.take(kind, lambda make=make: make(args.quick), parts.update)
        for name, part in parts.items():
            if args.only in name:
                results.take(name, part, keeper(results.found, kind, name))
    for failure in results.found["failures"]:
        print(f"FAILED: {failure['case']}: {failure['error']}")
    return 1 if results.found["failures"] else 0


def keeper(found: dict[str, Any], kind: str, name: str) -> Callable[[Any], None]:
    def keep(made: Any) -> None:
        if kind == "rows":
            found["rows"] += made
            show(made)
        else:
            found["extras"][name] = made

    return keep


if __name__ == "__main__":
    sys.exit(main())
