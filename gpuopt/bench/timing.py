"""The clock of a row: the wall on the CPU; events on a GPU, and the wall beside them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gpuopt.bench.pace import Pace, once
from gpuopt.bench.problem import Problem
from gpuopt.bench.traffic import Traffic

Runs = dict[str, Callable[[], object]]


class Clock(NamedTuple):
    """times: the fields "clock" and "times" of a row, and "wall" beside events. limits: what
    measures the machine's limit. wait: until all that was queued is done."""

    times: Callable[[Runs, Pace], dict[str, Any]]
    limits: Callable[[Traffic, list[Any]], Runs]
    wait: Callable[[], object]


def clock_of(problem: Problem) -> Clock:
    return on_gpu(problem.index) if problem.on_gpu else on_cpu()


def on_cpu() -> Clock:
    from gpuopt.bench.clock import interleave, summary
    from gpuopt.bench.limits import limits

    def times(runs: Runs, pace: Pace) -> dict[str, Any]:
        rounds, each = pace.turns([quickest(run, lambda: None) for run in runs.values()])
        found = interleave(runs, rounds, each, settle=pace.settle)
        return {"clock": "wall", "times": {name: summary(x) for name, x in found.items()}}

    return Clock(times, limits, lambda: None)


def on_gpu(index: int) -> Clock:
    from gpuopt.backends.cupy_device import cupy
    from gpuopt.bench.clock_gpu import interleave, summaries, wait
    from gpuopt.bench.limits_gpu import limits

    def times(runs: Runs, pace: Pace) -> dict[str, Any]:
        with cupy.cuda.Device(index):  # events belong to a device
            rounds, each = pace.turns([quickest(run, wait) for run in runs.values()])
            found = interleave(runs, rounds, each)
        both = {name: summaries(found, name) for name in ("events", "wall")}
        return {"clock": "events", "times": both["events"], "wall": both["wall"]}

    def limits_there(traffic: Traffic, arrays: list[Any]) -> Runs:
        with cupy.cuda.Device(index):
            return limits(traffic, arrays)

    return Clock(times, limits_there, wait)


def quickest(run: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds of a step, without what only the first one does."""
    return min(once(run, wait) for _ in range(2))
