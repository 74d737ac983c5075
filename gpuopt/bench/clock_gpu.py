"""Timing on a GPU: candidates take turns, by CUDA events and by the wall clock.

A turn queues its steps behind a kernel that keeps the GPU busy until all are queued. So the time
between two events is the GPU's alone, and not the host's pace. The wall clock takes steps as a
training loop does, without that kernel. Needs CuPy, on whose current stream all candidates run.
"""

import importlib
import time
from collections.abc import Callable
from typing import Any

from gpuopt.bench.clock import LEAST, Candidates, nothing, summary
from gpuopt.bench.spin import spin

EACH = 6  # steps in a turn behind a kernel: an optimizer may wait for its eighth to last
AHEAD, MOST_AHEAD = 2e-4, 0.25  # seconds, at least and at most, that the kernel before them takes

Found = dict[str, dict[str, list[float]]]


def library() -> Any:
    """CuPy, imported when a GPU is first timed."""
    return importlib.import_module("cupy")


def wait() -> None:
    library().cuda.Device().synchronize()


def interleave(
    candidates: Candidates,
    rounds: int,
    each: int = EACH,
    prepare: Candidates | None = None,
) -> Found:
    """Seconds a step of each candidate, "events" and "wall", the candidates taking turns.

    There are at least three rounds, for a turn gives one time by the wall clock: that of `each`
    steps in a row. The first two steps of a turn are not counted, nor is the first round. "late" is
    for each turn whether the GPU waited for the host, in spite of the kernel before it. prepare:
    what is to be done before a step that is timed by events, and not timed itself.
    """
    found: Found = {name: {"events": [], "wall": [], "late": []} for name in candidates}
    for round_ in range(max(rounds, LEAST) + 1):
        for name, run in candidates.items():
            wall, host = by_the_wall(run, each)
            before = (prepare or {}).get(name, nothing)
            events, late = by_events(run, before, 2 * host * EACH + AHEAD)
            if round_:
                found[name]["wall"].append(wall)
                found[name]["events"] += events
                found[name]["late"].append(late)
    return found


def by_the_wall(run: Callable[[], object], each: int) -> tuple[float, float]:
    """Seconds a step until the GPU has done it, and until the host may go on."""
    run()
    run()
    wait()
    begin = time.perf_counter()
    for _ in range(each):
        run()
    queued = time.perf_counter() - begin
    wait()
    return (time.perf_counter() - begin) / each, queued / each


def by_events(
    run: Callable[[], object], before: Callable[[], object], ahead: float
) -> tuple[list[float], bool]:
    """Seconds between events around each of several steps, `ahead` behind; whether that was too
    little, so that the GPU waited for the host."""
    cuda = library().cuda
    marks = [(cuda.Event(), cuda.Event()) for _ in range(EACH)]
    spin(min(ahead, MOST_AHEAD))
    for begin, end in marks:
        before()
        begin.record()
        run()
        end.record()
    late = bool(marks[0][0].done)
    wait()
    return [cuda.get_elapsed_time(a, b) / 1e3 for a, b in marks], late


def summaries(found: Found, clock: str) -> dict[str, dict[str, float]]:
    """Each candidate's summary by "events" or by the "wall"."""
    return {name: summary(times[clock]) for name, times in found.items()}
