"""Schedules: their equations, the course's numbers and what optimizers make of them."""

import copy
import math
import pickle

import numpy as np
import pytest

import gpuopt
from gpuopt import schedules

ALL = [
    schedules.inverse_time(0.2, 1),
    schedules.exponential(0.2, 0.95),
    schedules.sqrt_decay(0.2, 0.5),
    schedules.staircase(0.2, 0.5, every=3),
    schedules.piecewise([2, 4], [0.2, 0.1, 0.05]),
    schedules.linear(0.2, 0.1, 7),
    schedules.warmup(0.2, 5),
    schedules.cosine(0.2, 9, lr_min=0.01),
    schedules.cosine_restarts(0.2, 3, mult=2, lr_min=0.01),
    schedules.one_cycle(0.2, 10),
    schedules.warmup_stable_decay(0.2, 3, 4, 3),
    schedules.join([schedules.warmup(0.2, 3), schedules.cosine(0.2, 4)], [3]),
    schedules.per_epoch(schedules.inverse_time(0.2, 1), 4),
]
by_name = pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)


def values(schedule, times):
    return [schedule(t) for t in times]


def near(*expected, rel=1e-14):
    return pytest.approx(list(expected), rel=rel, abs=0)


def test_the_course_s_table_of_epochs():
    rates = values(schedules.inverse_time(lr0=0.2, decay_rate=1), range(5))
    assert rates == near(0.2, 0.1, 0.2 / 3, 0.05, 0.04)
    assert [round(rate, 3) for rate in rates[1:]] == [0.1, 0.067, 0.05, 0.04]


def test_the_course_s_other_formulas():
    assert values(schedules.exponential(0.1, 0.95), [0, 1, 2, 10]) == near(
        0.1, 0.095, 0.09025, 0.05987369392383787
    )
    decay = schedules.sqrt_decay(0.1, k=0.5)
    assert values(decay, [0, 0.5, 1, 4, 25]) == near(0.05, 0.05, 0.05, 0.025, 0.01)
    stairs = schedules.staircase(0.4, 0.5, every=3)
    assert values(stairs, [0, 1, 2.9, 3, 5, 6]) == near(0.4, 0.4, 0.4, 0.2, 0.2, 0.1)
    manual = schedules.piecewise([10, 20], [0.1, 0.03, 0.5])
    assert values(manual, [0, 9, 9.5, 10, 19, 20, 1e9]) == [0.1, 0.1, 0.1, 0.03, 0.03, 0.5, 0.5]
    assert values(schedules.piecewise([], [0.1]), [0, 7]) == [0.1, 0.1]


def test_from_one_value_to_another():
    line = schedules.linear(0.1, 0.3, 4)
    assert values(line, [0, 1, 2, 4, 5, 1e300]) == near(0.1, 0.15, 0.2, 0.3, 0.3, 0.3)
    assert values(schedules.warmup(0.3, 3), [0, 1, 2, 3, 4]) == near(0, 0.1, 0.2, 0.3, 0.3)
    assert values(schedules.warmup(0.3, 0), [0, 1]) == [0.3, 0.3]
    curve = schedules.cosine(0.3, 6, lr_min=0.1)
    half = math.sqrt(3) / 20
    expected = near(0.3, 0.2 + half, 0.25, 0.2, 0.15, 0.1, 0.1)
    assert values(curve, [0, 1, 2, 3, 4, 6, 7]) == expected
    assert (curve(0), curve(6), schedules.cosine(0.3, 6)(6)) == (0.3, 0.1, 0)


def test_the_last_steps_of_a_long_cosine_are_precise():
    curve = schedules.cosine(1.0, 10**6)
    assert curve(10**6 - 1) == pytest.approx((math.pi / 2e6) ** 2, rel=1e-9, abs=0)


def test_restarts_make_longer_periods():
    curve, base = schedules.cosine_restarts(0.3, 2, mult=3), schedules.cosine
    assert values(curve, [0, 1, 2, 5, 8, 17, 26]) == near(
        0.3, 0.15, 0.3, base(0.3, 6)(3), 0.3, base(0.3, 18)(9), 0.3
    )
    assert values(schedules.cosine_restarts(0.3, 4, lr_min=0.1), [0, 2, 4, 6, 4e15 + 2]) == near(
        0.3, 0.2, 0.3, 0.2, 0.2
    )


def test_one_cycle_s_corners():
    cycle = schedules.one_cycle(0.5, 40, pct_start=0.25, div_factor=5, final_div_factor=10)
    assert values(cycle, [0, 5, 10, 25, 40, 41]) == near(0.1, 0.3, 0.5, 0.255, 0.01, 0.01)
    assert schedules.one_cycle(0.5, 40, pct_start=0)(0) == 0.5


def test_a_trapezoid():
    trapezoid = schedules.warmup_stable_decay(0.4, warmup=2, stable=3, decay=4, lr_min=0.2)
    assert values(trapezoid, range(11)) == near(
        0, 0.2, 0.4, 0.4, 0.4, 0.4, 0.35, 0.3, 0.25, 0.2, 0.2
    )
    assert values(schedules.warmup_stable_decay(0.4, 0, 0, 2), range(4)) == near(0.4, 0.2, 0, 0)
    no_decay = schedules.warmup_stable_decay(0.4, 2, 3, 0)
    assert values(no_decay, range(7)) == near(0, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4)


def test_joined_schedules_see_the_time_since_their_boundary():
    seen = []
    parts = [lambda t, name=name: seen.append((name, t)) or 0.1 for name in "abc"]
    assert values(schedules.join(parts, [2, 5]), [0, 1, 2, 4, 5, 5.5]) == [0.1] * 6
    assert seen == [("a", 0), ("a", 1), ("b", 0), ("b", 2), ("c", 0), ("c", 0.5)]
    assert [type(t) for _, t in seen] == [int] * 5 + [float]


def test_steps_of_epochs():
    by_step = schedules.per_epoch(lambda epoch: epoch, 3)
    assert values(by_step, range(8)) == [0, 1, 1, 1, 2, 2, 2, 3]
    assert values(by_step, [0.5, 3.1]) == [1, 2]


@by_name
def test_they_print_compare_copy_and_pickle(schedule):
    assert eval(repr(schedule), vars(schedules)) == schedule
    for other in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert other == schedule
        assert hash(other) == hash(schedule)
        assert values(other, range(12)) == values(schedule, range(12))
    assert len(set(ALL)) == len(ALL)


def test_how_one_prints():
    assert repr(schedules.inverse_time(0.2, 1)) == "inverse_time(lr0=0.2, decay_rate=1.0)"


@by_name
def test_numbers_of_any_kind_give_the_same_python_float(schedule):
    kinds = (float, np.int32, np.uint8, np.int64, np.float32, np.float64, np.array)
    for t in (0, 1, 4, 13):
        rate = schedule(t)
        assert type(rate) is float
        assert all(schedule(kind(t)) == rate for kind in kinds)


@by_name
@pytest.mark.parametrize("t", [-1, -0.5, math.nan, math.inf, "3", None, True, [1], 1j])
def test_what_is_no_time_raises(schedule, t):
    with pytest.raises((TypeError, ValueError), match=r"t, the number of a step or an epoch, must"):
        schedule(t)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "words"),
    [
        ("inverse_time", (-0.1, 1), ValueError, "lr0 must be finite and >= 0, got -0.1"),
        ("inverse_time", (0.1, -1), ValueError, "decay_rate must be finite and >= 0, got -1"),
        ("inverse_time", ("0.1", 1), TypeError, "lr0 must be a number, got '0.1'"),
        ("exponential", (0.1, 0), ValueError, "rate must be > 0, got 0.0"),
        ("exponential", (0.1, 1.1), ValueError, r"rate must be in \(0, 1\], got 1.1"),
        ("sqrt_decay", (0.1, math.inf), ValueError, "k must be finite"),
        ("staircase", (0.1, 2, 5), ValueError, r"factor must be in \(0, 1\]"),
        ("staircase", (0.1, 0.5, 0), ValueError, "every must be at least 1, got 0"),
        ("staircase", (0.1, 0.5, 2.0), TypeError, "every must be a whole number, got 2.0"),
        ("piecewise", ([1, 2], [0.1, 0.2]), ValueError, "values must have one item more than b"),
        ("piecewise", ([2, 2], [1, 2, 3]), ValueError, r"boundaries must increase, got \[2, 2\]"),
        ("piecewise", ([-1], [1, 2]), ValueError, r"boundaries\[0\] must be at least 0, got -1"),
        ("piecewise", (5, [1, 2]), TypeError, "boundaries must be a list or tuple, got 5"),
        ("piecewise", ([5], "12"), TypeError, "values must be a list or tuple, got '12'"),
        ("piecewise", ([5], [1, math.nan]), ValueError, r"values\[1\] must be a number, got nan"),
        ("linear", (0.1, 0.2, -1), ValueError, "steps must be at least 0"),
        ("warmup", (-0.1, 5), ValueError, "lr must be finite and >= 0"),
        ("cosine", (0.1, 0), ValueError, "steps must be at least 1"),
        ("cosine", (0.1, 5, -1), ValueError, "lr_min must be finite"),
        ("cosine_restarts", (0.1, 5, 0), ValueError, "mult must be at least 1"),
        ("one_cycle", (0.1, 5, 1), ValueError, r"pct_start must be in \[0, 1\), got 1.0"),
        ("one_cycle", (0.1, 5, 0.3, 0), ValueError, "div_factor must be > 0"),
        ("one_cycle", (0.1, 5, 0.3, 25, -1), ValueError, "final_div_factor must be > 0"),
        ("warmup_stable_decay", (-1, 2, 3, 4), ValueError, "lr must be finite"),
        ("warmup_stable_decay", (1, 2, 3, 4, -1), ValueError, "lr_min must be finite"),
        ("warmup_stable_decay", (1, -2, 3, 4), ValueError, "warmup must be at least 0, got -2"),
        ("warmup_stable_decay", (1, 2, -3, 4), ValueError, "stable must be at least 0, got -3"),
        ("warmup_stable_decay", (1, 2, 3, -4), ValueError, "decay must be at least 0, got -4"),
        ("join", ([abs], [3]), ValueError, "schedules must have one item more than boundaries"),
        ("join", ([abs, 0.1], [3]), TypeError, r"schedules\[1\] must be a schedule, a function"),
        ("per_epoch", (0.1, 3), TypeError, "schedule must be a schedule, a function of one number"),
        ("per_epoch", (abs, 0), ValueError, "steps must be at least 1"),
    ],
)
def test_arguments_that_cannot_be_used_raise_at_once(name, arguments, error, words):
    with pytest.raises(error, match=words):
        getattr(schedules, name)(*arguments)


@by_name
@pytest.mark.parametrize("make", [gpuopt.Momentum, gpuopt.Adam])
def test_every_step_takes_the_rate_of_its_number(schedule, make):
    rng = np.random.default_rng(0)
    p, q = np.full(5, 2.0), np.full(5, 2.0)
    scheduled, by_hand = make(p, lr=0.1, backend="numpy"), make(q, lr=0.1, backend="numpy")
    for t in range(1, 9):
        if t > 2:
            scheduled.lr, by_hand.lr = schedule, schedule(t)
        g, before = rng.normal(size=5), p.copy()
        scheduled.step(g)
        by_hand.step(g)
        assert np.array_equal(p, q)
        assert np.all(p != before) or schedule(t) == 0
    assert pickle.loads(pickle.dumps(scheduled)).lr == schedule
