"""Timing on the CPU: candidates take turns in one process; medians and interquartile ranges."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Candidates = Mapping[str, Callable[[], object]]
Timings = dict[str, list[float]]

SETTLE = 0.05  # seconds that a candidate runs untimed at the start of its turn
LEAST = 3  # times of which quartiles can be told
NOISY = 0.05  # of the median: noise from here on is said


def nothing() -> None:
    pass


def interleave(
    candidates: Candidates,
    rounds: int,
    each: int,
    before: Callable[[], object] = nothing,
    settle: float = SETTLE,
) -> Timings:
    """Seconds of each candidate, `rounds` times `each`, taking turns; `before` each, untimed.

    A turn begins untimed: the candidate before has left its own data in the caches, and its threads
    spin for up to 20 ms, waiting for more. The first round is not counted.
    """
    seconds: Timings = {name: [] for name in candidates}
    for round_ in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            while time.perf_counter() - start < settle:
                before()
                run()
            turn = [_timed(run, before) for _ in range(each)]
            seconds[name] += turn if round_ else []
    return seconds


def _timed(run: Callable[[], object], before: Callable[[], object]) -> float:
    before()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median, quartiles, the noise (the interquartile range as a share of the median), and how many
    times there are. Raises ValueError for fewer than three, of which nobody can tell the noise."""
    if len(seconds) < LEAST:
        raise ValueError(f"quartiles need {LEAST} times or more, got {len(seconds)}")
    low, median, high = statistics.quantiles(seconds, n=4)
    spread = {"median": median, "q1": low, "q3": high, "noise": (high - low) / median}
    return {**spread, "count": len(seconds)}
