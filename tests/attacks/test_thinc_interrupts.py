"""A call of gpuopt.thinc's optimizer that is interrupted at any moment is made whole and counted,
or has changed nothing: neither weights nor gradient nor the optimizer's dicts."""

import random
from typing import Any

import numpy as np
import pytest

from tests.attacks.interrupting import alarms, duration, interrupted
from tests.optional import optional

optional("thinc")
ours = optional("gpuopt.thinc")

KEY = (3, "W")
STEPS = 8
CASES: dict[str, dict[str, Any]] = {
    "decoupled": {"L2": 0.1},
    "L2 in the gradient": {"L2": 0.1, "L2_is_weight_decay": False},
}


def gradient(step: int) -> np.ndarray:
    return np.random.default_rng(step).normal(size=(40, 50)).astype(np.float32)


def begin(given: Any) -> tuple[Any, np.ndarray]:
    return ours.Adam(0.01, **given), gradient(100)


def bytes_of(opt: Any, weights: np.ndarray) -> tuple[Any, ...]:
    """Everything that calls change, but for the gradient."""
    homes = [
        {key: a.tobytes() for key, a in home.items()} for home in (opt.mom1, opt.mom2, opt.averages)
    ]
    return weights.tobytes(), homes, dict(opt.nr_update)


# an interrupt inside Python's own open() leaves the file of a kernel to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tries", [60, pytest.param(5000, marks=pytest.mark.long)])
def test_an_interrupted_call_is_whole(tries: int, case: str) -> None:
    opt, weights = begin(CASES[case])
    whole = [bytes_of(opt, weights)]
    for step in range(STEPS):
        opt(KEY, weights, gradient(step))
        whole.append(bytes_of(opt, weights))
    opt, weights = begin(CASES[case])
    seconds = duration(lambda: opt(KEY, weights, gradient(0)))
    opt, weights = begin(CASES[case])
    rng, caught = random.Random(case), 0
    with alarms():
        for _ in range(tries):
            before = opt.nr_update.get(KEY, 0)
            if before == STEPS:
                opt, weights = begin(CASES[case])
                before = 0
            g = gradient(before)
            call = lambda opt=opt, weights=weights, g=g: opt(KEY, weights, g)  # noqa: E731
            caught += interrupted(call, 2 * seconds, rng)
            now = opt.nr_update.get(KEY, 0)
            assert now in (before, before + 1)
            assert bytes_of(opt, weights) == whole[now], f"after {now} calls"
            assert np.array_equal(g, gradient(before) if now == before else np.zeros_like(g))
    assert caught > tries // 10
