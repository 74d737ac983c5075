"""Errors name the key, and leave everything as it was."""

from typing import Any

import numpy as np
import pytest
from thinc import schedules

import gpuopt.thinc as ours
from tests.thinc.beside import KEY, arrays

THINC_9 = hasattr(schedules, "Schedule")
read_only = np.ones((7, 37), np.float32)
read_only.flags.writeable = False
WRONG: dict[str, tuple[Any, Any, str]] = {
    "gradient's shape": (None, np.ones((1, 37), np.float32), "shape"),
    "gradient's dtype": (None, np.ones((7, 37)), "dtype"),
    "read-only weights": (read_only, None, "read-only"),
    "read-only gradient": (None, read_only, "read-only"),
    "whole numbers": (np.ones((7, 37), np.int32), None, "int32"),
    "weights of one element": (np.broadcast_to(np.float32(1), (7, 37)), None, "read-only|share"),
}
GIVEN: dict[str, Any] = {
    "decoupled": {"L2": 0.1},
    "in the gradient": {"L2": 0.1, "L2_is_weight_decay": False},
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("known", [True, False], ids=["known key", "new key"])
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_arrays_that_do_not_fit(wrong: Any, known: bool, given: Any) -> None:
    w, g, h = arrays(1, count=3)
    opt = ours.Adam(0.1, **given)
    if known:
        opt(KEY, w, h)
    weights = w if wrong[0] is None else wrong[0]
    gradient = g if wrong[1] is None else wrong[1]
    before = [np.copy(x) for x in (weights, gradient, *opt.mom1.values())]
    with pytest.raises((TypeError, ValueError), match=rf"(?s){wrong[2]}") as caught:
        opt(KEY, weights, gradient)
    assert str(KEY) in str(caught.value)
    for old, new in zip(before, (weights, gradient, *opt.mom1.values()), strict=True):
        assert np.array_equal(old, new)
    assert dict(opt.nr_update) == ({KEY: 1} if known else {})
    assert list(opt.mom1) == [KEY] * known


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"learn_rate": -0.1}, "lr must be"),
        ({"learn_rate": float("nan")}, "lr must be"),
        ({"learn_rate": 0.1, "beta1": 0.9, "beta2": 0.0}, "beta2"),
        ({"learn_rate": 0.1, "beta2": 1.0}, "betas"),
        ({"learn_rate": 0.1, "L2": -1.0}, "L2"),
        ({"learn_rate": 0.1, "grad_clip": -1.0}, "grad_clip"),
    ],
)
def test_numbers_that_cannot_be(given: Any, message: str) -> None:
    w, g = arrays(2, count=2)
    before = w.copy(), g.copy()
    opt = ours.Adam(**given)
    with pytest.raises(ValueError, match=message) as caught:
        opt(KEY, w, g)
    assert str(KEY) in str(caught.value)
    assert np.array_equal(before, (w, g))
    assert not opt.nr_update


@pytest.mark.skipif(not THINC_9, reason="before Thinc 9 schedules are generators")
def test_a_schedule_that_raises() -> None:
    w, g = arrays(3, count=2)
    before = w.copy(), g.copy()
    bad = schedules.Schedule("bad", lambda schedule, step, **about: 1 / 0)
    with pytest.raises(ValueError, match=r"\(3, 'W'\).*division by zero"):
        ours.Adam(0.1, eps=bad)(KEY, w, g)
    assert np.array_equal(before, (w, g))


def test_weights_that_were_resized() -> None:
    w, g, small = *arrays(4, count=2), np.ones(3, np.float32)
    opt = ours.Adam(0.1)
    opt(KEY, w, g)
    with pytest.raises(ValueError, match=r"\(3, 'W'\).*\(7, 37\).*\(3,\)"):
        opt(KEY, small, small.copy())
    for home in (opt.mom1, opt.mom2, opt.averages):
        del home[KEY]
    opt(KEY, small, np.ones(3, np.float32))
    assert not (small == 1).any()


def test_unexpected_attributes_are_refused_as_by_thinc() -> None:
    with pytest.raises(AttributeError):
        ours.Adam(0.1).learning_rate = 0.2  # pyright: ignore


@pytest.mark.parametrize("begin", [0, 100])
def test_a_gradient_that_moves_into_the_weights(begin: int) -> None:
    base, g = arrays(5, 259 + 100, 2)
    w, opt = base[:259], ours.Adam(0.1)
    opt(KEY, w, g[:259])
    before = base.copy()
    with pytest.raises(ValueError, match=r"\(3, 'W'\).* share memory"):
        opt(KEY, w, base[begin : begin + 259])
    assert np.array_equal(base, before)
