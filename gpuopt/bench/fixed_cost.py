"""What a step of gpuopt costs before it touches an element: launches, and the host's time."""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from gpuopt.bench.place import Place
from gpuopt.bench.problem import Problem
from gpuopt.optimizer import Optimizer

EACH = 6  # steps in a row: an optimizer may wait for its eighth to last on a GPU
LEAST, MOST, SECONDS = 3, 30, 0.2  # turns at least and at most, and for how long


def fixed_cost(
    problem: Problem, backends: Sequence[str], wait: Callable[[], object]
) -> dict[str, dict[str, Any]]:
    """`host_us` and `launches` by candidate: for as many tensors as the problem has, of one element
    each, the microseconds until a step returns, and how many kernels or sweeps it launches."""
    small = dataclasses.replace(problem, shapes=[(1,)] * len(problem.shapes), copies=False)
    host, launches = {}, {}
    for backend in backends:
        place = Place(small)
        lr, grads = small.settings["lr"], tuple(place.grads)
        opt = Optimizer(list(place.params), place.rule, lr=lr, backend=backend)
        opt.step(grads)
        opt.step(grads)
        host[f"gpuopt {backend}"] = 1e6 * median_of(functools.partial(opt.step, grads), wait)
        plan = opt._stepper.plan
        launches[f"gpuopt {backend}"] = len(plan.sweeps) if plan else 0
    return {"host_us": host, "launches": launches}


def median_of(step: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds until a step returns: the median of turns that begin with nothing queued."""
    seconds, end = [], time.perf_counter() + SECONDS
    while len(seconds) < LEAST or (len(seconds) < MOST and time.perf_counter() < end):
        wait()
        begin = time.perf_counter()
        for _ in range(EACH):
            step()
        seconds.append((time.perf_counter() - begin) / EACH)
    wait()
    return statistics.median(seconds)
