"""A step that raises leaves parameters, state and step counts as they were."""

from dataclasses import dataclass

import numpy as np
import pytest

import gpuopt


def snapshot(opt, params, backend):
    """Everything that a step changes, as copies."""
    state = {
        (key, name): backend.to_numpy(array).copy()
        for key, buffers in opt.state.items()
        for name, array in buffers.items()
    }
    return [p.copy() for p in params], state, opt.step_count, opt.param_steps


def same(a, b):
    np.testing.assert_equal(a, b)


def make(backend, steps_before, **options):
    params = [np.full(n, 2, "f4") for n in (3, 5000, 4)]
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Adam(mine, backend=backend.name, **options)
    for _ in range(steps_before):
        opt.step(grads(backend, skip=2))
    return opt, params


def grads(backend, skip=None):
    all_of_them = [backend.asarray(np.full(n, n, "f4")) for n in (3, 5000, 4)]
    return [None if k == skip else g for k, g in enumerate(all_of_them)]


@pytest.mark.parametrize("steps_before", [0, 2])
@pytest.mark.parametrize("value", [ZeroDivisionError, np.nan, -1.0, "0.1", None])
def test_a_schedule_that_fails(backend, steps_before, value):
    failing = []

    def schedule(step):
        if failing and isinstance(value, type):
            raise value("no rate")
        return value if failing else 0.1

    opt, params = make(backend, steps_before, lr=schedule)
    failing.append(True)
    before = snapshot(opt, params, backend)
    with pytest.raises((ZeroDivisionError, TypeError, ValueError), match=r"lr|no rate"):
        opt.step(grads(backend))
    same(snapshot(opt, params, backend), before)
    opt.load_state_dict(opt.state_dict())
    failing.clear()
    opt.step(grads(backend))
    assert list(opt.param_steps.values()) == [steps_before + 1, steps_before + 1, 1]


@pytest.mark.parametrize("steps_before", [0, 2])
def test_no_memory_for_the_second_buffer(backend, steps_before, monkeypatch):
    opt, params = make(backend, steps_before)
    before = snapshot(opt, params, backend)
    real, calls = opt._backend.zeros_like, []

    def zeros_like(*args):
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError("no room")
        return real(*args)

    monkeypatch.setattr(opt._backend, "zeros_like", zeros_like)
    with pytest.raises(MemoryError, match="no room"):
        opt.step(grads(backend))
    same(snapshot(opt, params, backend), before)
    opt.step(grads(backend))
    assert list(opt.param_steps.values()) == [steps_before + 1, steps_before + 1, 1]


@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("f8", "f4"), ("f4", "f4")], ids="-".join)
@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("options", [{}, {"max_value": 1.0}, {"max_norm": 1.0}], ids=str)
def test_a_schedule_of_one_group_that_fails_at_step_2(options, late, dtypes, backend):
    """Each dtype has a sweep of its own: no sweep starts before all scalars are known."""

    def schedule(step):
        if step == 2:
            raise ZeroDivisionError("no rate")
        return 0.1

    params = [np.full(5, 2, dtype) for dtype in dtypes]
    rates = [schedule if k == late else 0.1 for k in range(2)]
    groups = [
        {"params": [backend.asarray(p)], "lr": lr} for p, lr in zip(params, rates, strict=True)
    ]
    opt = gpuopt.Momentum(groups, lr=0.1, backend=backend.name)
    given = [[backend.asarray(np.ones(5, dtype))] for dtype in dtypes]
    opt.step(given, **options)
    before = snapshot(opt, params, backend)
    with pytest.raises(ZeroDivisionError, match="no rate"):
        opt.step(given, **options)
    same(snapshot(opt, params, backend), before)


@dataclass(frozen=True)
class InPlace(gpuopt.Rule):
    """A wrong rule: it changes its arguments before it fails."""

    @property
    def state(self):
        return ("m",)

    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, m, s):
        p -= s.lr * g
        g += m
        return p, m


def test_a_formula_that_changes_its_arguments(backend):
    p, g = np.ones(9, "f4"), np.ones(9, "f4")
    opt = gpuopt.Optimizer(backend.asarray(p), InPlace(), lr=0.5, backend=backend.name)
    with pytest.raises((gpuopt.LoweringError, ValueError), match=r"in place|read-only"):
        opt.step(backend.asarray(g))
    same((p, g, opt.step_count, opt.state), (np.ones(9), np.ones(9), 0, {"0": {}}))
