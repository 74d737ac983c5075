"""`zero_grads`: gradients are zero after the step, and nothing beside them is written."""

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.parity.cases import SIZES


def make(backend, params):
    mine = [backend.asarray(p) for p in params]
    return gpuopt.Optimizer(mine, rules.AdamW(), lr=0.5, backend=backend.name)


def test_gradients_are_zero_after_each_step_wherever_they_lie(backend):
    """New arrays, old ones, and two that change places: always the same steps as without."""
    params, expected = ([np.ones(n, "f4") for n in SIZES] for _ in range(2))
    opt, other = make(backend, params), make(backend, expected)
    rng = np.random.default_rng(4)
    memory = [np.empty(n, "f4") for n in SIZES]
    for t in range(5):
        values = [rng.normal(size=n).astype("f4") for n in SIZES]
        grads = [v.copy() for v in values]
        if t % 2:
            grads = memory
            for g, v in zip(grads, values, strict=True):
                g[...] = v
        opt.step([backend.asarray(g) for g in grads], zero_grads=True)
        other.step([backend.asarray(v) for v in values])
        assert all((g == 0).all() for g in grads)
    for p, q in zip(params, expected, strict=True):
        assert p.tobytes() == q.tobytes()


def test_two_gradients_that_change_places(backend):
    params, (a, b) = [np.ones(9, "f4") for _ in range(2)], (np.empty(9, "f4"), np.empty(9, "f4"))
    opt, expected = make(backend, params), [np.ones(9, "f4") for _ in range(2)]
    other = make(backend, expected)
    for first, second in ((a, b), (b, a), (a, b)):
        first[...], second[...] = 1, -2
        opt.step([backend.asarray(first), backend.asarray(second)], zero_grads=True)
        assert (a == 0).all()
        assert (b == 0).all()
        other.step([backend.asarray(np.full(9, v, "f4")) for v in (1, -2)])
    np.testing.assert_array_equal(params, expected)


LAYOUTS = {
    "every second": (lambda a: a[::2], (301,)),
    "a block": (lambda a: a[3:20, 5:60], (30, 70)),
    "backwards": (lambda a: a[:, ::-2], (33, 64)),
    "one column": (lambda a: a[:, 1], (257, 3)),
    "transposed": (lambda a: a.T, (37, 70)),
    "0-d": (lambda a: a[2, ...], (5,)),
}


@pytest.mark.parametrize("skipped", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "c8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_between_a_gradients_elements_are_untouched(layout, dtype, skipped, backend):
    view_of, shape = LAYOUTS[layout]
    whole = np.full(shape, 7, dtype)
    inside = np.zeros(shape, bool)
    view_of(inside)[...] = True
    if skipped:
        view_of(whole).flat[0] = np.inf
    params = [np.ones_like(view_of(whole), order="C", subok=False)]
    options = {"skip_nonfinite": True} if skipped else {}
    make(backend, params).step([backend.asarray(view_of(whole))], zero_grads=True, **options)
    assert (whole[inside] == 0).all()
    assert (whole[~inside] == 7).all()
    assert (params[0] == 1).all() == skipped


def test_a_skipped_step_zeroes_gradients_if_asked_and_only_then(backend):
    params = [np.ones(n, "f4") for n in (3, 4000, 5)]
    opt = make(backend, params)
    for zero in (False, True):
        grads = [np.full(n, np.inf, "f4") for n in (3, 4000)]
        given = [*map(backend.asarray, grads), None]
        opt.step(given, skip_nonfinite=True, zero_grads=zero)
        assert all((g == (0 if zero else np.inf)).all() for g in grads)
    assert opt.step_count == 0
    assert all((p == 1).all() for p in params)


@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
@pytest.mark.parametrize("steps_before", [0, 1])
def test_a_read_only_gradient_is_refused(steps_before, backend):
    params, grads = [np.ones(5, "f4"), np.ones(5, "f4")], [np.ones(5, "f4"), np.ones(5, "f4")]
    opt = make(backend, params)
    for _ in range(steps_before):
        opt.step(grads, zero_grads=True)
    before = [p.copy() for p in params]
    for g in grads:
        g[...] = 1
    grads[1].flags.writeable = False
    with pytest.raises(ValueError, match=r"params\[1\], which zero_grads writes to, is read-only"):
        opt.step(grads, zero_grads=True)
    np.testing.assert_array_equal(params, before)
    np.testing.assert_array_equal(grads, 1)
    assert opt.step_count == steps_before
    opt.step(grads)  # only read


def test_gradients_that_share_memory_are_refused_where_they_are_written(backend):
    params, g = [np.ones(5, "f4"), np.ones(5, "f4")], np.ones(8, "f4")
    opt = make(backend, params)
    for pair in ((g[:5], g[:5]), (g[:5], g[3:])):
        given = [backend.asarray(x) for x in pair]
        with pytest.raises(ValueError, match=r"gradient of params\[0\] and .* share memory"):
            opt.step(given, zero_grads=True)
    np.testing.assert_array_equal(params, 1)
    np.testing.assert_array_equal(g, 1)
    opt.step(given)
    assert opt.step_count == 1


def test_gradients_come_to_share_memory_later(backend):
    params, g = [np.ones(5, "f4"), np.ones(5, "f4")], np.ones(10, "f4")
    opt = make(backend, params)
    opt.step([backend.asarray(g[:5]), backend.asarray(g[5:])], zero_grads=True)
    with pytest.raises(ValueError, match="share memory"):
        opt.step([backend.asarray(g[:5]), backend.asarray(g[1:6])], zero_grads=True)
    assert opt.step_count == 1


def test_a_gradient_whose_own_elements_share_memory_is_refused(backend):
    p = np.ones(5, "f4")
    g = np.lib.stride_tricks.as_strided(np.ones(1, "f4"), (5,), (0,))
    opt = make(backend, [p])
    with pytest.raises(ValueError, match="share memory"):
        opt.step([backend.asarray(g)], zero_grads=True)
    np.testing.assert_array_equal(p, 1)
    np.testing.assert_array_equal(g, 1)
