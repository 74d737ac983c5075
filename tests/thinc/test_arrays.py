"""Which memory a call changes: the caller's, wherever and however it lies."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import thinc.api as thincs

import gpuopt.thinc as ours
from tests.thinc.beside import KEY, ROUNDING, arrays, run

VIEWS = {
    "every other": lambda a: a[::2, 1:-1],
    "transposed": lambda a: a.T,
    "backwards": lambda a: a[::-1],
    "column": lambda a: a[:, 3],
    "misaligned start": lambda a: a.reshape(-1)[1:],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_strided_weights_are_updated_where_they_lie(view: Any) -> None:
    base, other = arrays(1, (9, 65), 2)
    weights, gradient = view(base), view(other)
    before, g = base.copy(), gradient.copy()
    expected = run(thincs.Adam(0.1, L2=0.1), np.ascontiguousarray(weights), [g])
    found = ours.Adam(0.1, L2=0.1)(KEY, weights, gradient)
    assert found[0] is weights
    assert found[1] is gradient
    np.testing.assert_allclose(weights, expected, **ROUNDING)
    assert not gradient.any()
    view(before)[...] = weights
    assert np.array_equal(base, before), "something outside the view has changed"


@pytest.mark.parametrize("given", [{}, {"L2": 0.1, "L2_is_weight_decay": False}])
def test_weights_and_gradients_that_move(given: Any) -> None:
    w, *grads = arrays(2, count=9)
    opt, moving = ours.Adam(0.1, **given), w.copy()
    for g in grads:
        moving, _ = opt(KEY, moving.copy(), g.copy())
    assert np.array_equal(moving, run(ours.Adam(0.1, **given), w, grads))
    assert opt.nr_update[KEY] == 8


def test_moved_gradients_and_new_numbers_replan_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    changing = {"beta1": [0.9, 0.8, 0.7, 0.6], "L2": [0.1, 0.2, 0.3], "eps": [1, 2]}
    opt = ours.Adam([0.1, 0.2, 0.3, 0.4], **changing)
    w, *grads = arrays(3, count=4)
    opt(KEY, w, grads[0])
    opt.step_schedules()
    monkeypatch.setattr("gpuopt.stepping.make_plan", None)
    for g in grads[1:]:
        before = w.copy()
        opt(KEY, w, g)
        opt.step_schedules()
        assert not np.array_equal(w, before)


def test_buffers_are_the_state_itself() -> None:
    w, *grads = arrays(4, count=4)
    opt = ours.Adam(0.1)
    opt(KEY, w, grads[0].copy())
    buffers = [opt.mom1[KEY], opt.mom2[KEY], opt.averages[KEY]]
    assert all(b.shape == w.shape for b in buffers)
    for b in buffers:
        b[...] = 0
    opt.nr_update[KEY] = 0
    again = run(ours.Adam(0.1), w, grads[1:])
    opt(KEY, w, grads[1].copy())
    opt(KEY, w, grads[2].copy())
    assert np.array_equal(w, again)
    assert opt.mom1[KEY] is buffers[0]


def test_it_goes_on_from_thincs_own_state() -> None:
    w, *grads = arrays(5, count=20)
    theirs, opt = thincs.Adam(0.1), ours.Adam(0.1)
    half = run(theirs, w, grads[:10])
    for home in ("mom1", "mom2", "averages", "nr_update"):
        getattr(opt, home).update(copy.deepcopy(getattr(theirs, home)))
    found, expected = run(opt, half, grads[10:]), run(theirs, half, grads[10:])
    np.testing.assert_allclose(found, expected, **ROUNDING)


def by_pickle(opt: Any) -> Any:
    return pickle.loads(pickle.dumps(opt))


@pytest.mark.parametrize("copied", [copy.deepcopy, by_pickle])
def test_copies_go_on_by_themselves(copied: Any) -> None:
    w, *grads = arrays(6, count=8)
    opt = ours.Adam(0.1, L2=0.1)
    half = run(opt, w, grads[:4])
    other = copied(opt)
    kept = opt.mom1[KEY].copy()
    found = run(other, half, grads[4:])
    assert np.array_equal(opt.mom1[KEY], kept)
    assert np.array_equal(found, run(opt, half, grads[4:]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_empty_gradient_changes_nothing(dtype: str) -> None:
    opt, w, g = ours.Adam(0.1), np.ones((1, 2), dtype), np.zeros(0, dtype)
    found = opt(KEY, w, g)
    assert found[0] is w
    assert found[1] is g
    assert w.all()
    assert not opt.nr_update
    assert not opt.mom1


def test_gradient_descent_to_adam_and_back() -> None:
    given = {"beta1": [0.0, 0.9, 0.9, 0.0, 0.9], "beta2": [0.0, 0.9, 0.9, 0.0, 0.9]}
    w, *grads = arrays(7, count=7)
    found = run(ours.Adam(0.1, **given), w, grads)
    np.testing.assert_allclose(found, run(thincs.Adam(0.1, **given), w, grads), **ROUNDING)
