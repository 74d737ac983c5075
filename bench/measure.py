"""Timing: candidates interleaved in one process, medians and interquartile ranges, the limit."""

import statistics
import time
from collections.abc import Callable

import numpy as np
from numba import njit, prange

Timings = dict[str, list[float]]


SETTLE = 0.05  # seconds that a candidate runs untimed at the start of its turn


def interleave(
    candidates: dict[str, Callable[[], object]],
    rounds: int,
    each: int,
    before: Callable[[], object] = lambda: None,
) -> Timings:
    """Seconds of each candidate, `rounds` times `each`, taking turns; `before` each, untimed.

    A turn begins untimed: the candidate before has left its own data in the caches, and its threads
    spin for up to 20 ms, waiting for more. The first round is not counted.
    """
    seconds: Timings = {name: [] for name in candidates}
    for round_ in range(rounds + 1):
        for name, run in candidates.items():
            start = time.perf_counter()
            while time.perf_counter() - start < SETTLE:
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


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, quartiles and the noise: the interquartile range as a share of the median."""
    low, median, high = statistics.quantiles(seconds, n=4)
    return {"median": median, "q1": low, "q3": high, "noise": (high - low) / median}


@njit(parallel=True, fastmath={"contract"}, error_model="numpy")
def _read_four_write_three(a, b, c, d, length):
    for k in prange(a.size // length):
        x, y = a[k * length : (k + 1) * length], b[k * length : (k + 1) * length]
        z, w = c[k * length : (k + 1) * length], d[k * length : (k + 1) * length]
        for i in range(length):
            value = w[i]
            x[i] += value
            y[i] += value
            z[i] += value


def adam_traffic_limits(arrays: list[np.ndarray]) -> dict[str, Callable[[], object]]:
    """This machine's read-write limit: Adam's traffic (read four float32 arrays, write three) with
    one addition an element in place of the formula, cut in several lengths; the best one counts.

    arrays: p, m, v and g of the step that is compared, for memory is not equally fast everywhere.
    """
    return {
        f"limit, cut by {length}": lambda length=length: _read_four_write_three(*arrays, length)
        for length in (16_384, 131_072, arrays[0].size // 2)
    }
