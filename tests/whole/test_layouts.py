"""Whole steps over arrays of any layout: the same numbers as over dense ones, nothing beside."""

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.parity.cases import fullest

LAYOUTS = {
    "transposed": (lambda a: a.T, (37, 70)),
    "permuted": (lambda a: a.transpose(2, 0, 1), (5, 7, 64)),
    "every second": (lambda a: a[::2], (301,)),
    "a block": (lambda a: a[3:20, 5:60], (30, 70)),
    "backwards": (lambda a: a[:, ::-2], (33, 64)),
    "one column": (lambda a: a[:, 1], (257, 3)),
    "from element 1 on": (lambda a: a[1:], (1026,)),
    "0-d": (lambda a: a[2, ...], (5,)),
    "empty": (lambda a: a[:0], (4, 3)),
}
OPTIONS = {
    "max_norm": 3.0,
    "max_value": 0.25,
    "loss_scale": 2.0,
    "skip_nonfinite": True,
    "zero_grads": True,
}
DTYPES = {"numpy": ["f4", "f8", "c8", "c16"], "numba": ["f4", "c8"], "cupy": ["f4", "c8", "f8"]}


def draw(rng, shape, dtype):
    values = rng.normal(size=shape)
    return np.asarray(values + 1j * rng.normal(size=shape) if dtype[0] == "c" else values, dtype)


def inside(view_of, shape, values, outside=7):
    """Memory of `shape` whose `view_of` holds `values`."""
    whole = np.full(shape, outside, values.dtype)
    view_of(whole)[...] = values
    return whole


def make(backend, params):
    mine = [backend.asarray(p) for p in params]
    rule = fullest(rules.AdamW)
    return gpuopt.Optimizer(mine, rule, lr=0.1, average=0.5, backend=backend.name)


@pytest.mark.parametrize("gradient_too", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_stepped_as_dense_arrays_are(layout, gradient_too, backend):
    view_of, shape = LAYOUTS[layout]
    for dtype in DTYPES[backend.name]:
        rng = np.random.default_rng(9)
        first = draw(rng, view_of(np.empty(shape)).shape, dtype)
        dense, q, memory = first.copy(), np.ones(9, dtype), inside(view_of, shape, first)
        opt = make(backend, [view_of(memory), q.copy()])
        other = make(backend, [dense, q])
        outside = np.ones(shape, bool)
        view_of(outside)[...] = False
        for t in range(4):
            g = draw(rng, first.shape, dtype)
            if t == 1 and g.size:
                g.reshape(-1)[-1] = np.inf if dtype[0] == "f" else 1j * np.inf
            like = inside(view_of, shape, g) if gradient_too else None
            mine, rest = (g.copy() if like is None else view_of(like)), np.full(9, 2, dtype)
            opt.step([backend.asarray(mine), backend.asarray(rest.copy())], **OPTIONS)
            norm = opt.grad_norm
            other.step([backend.asarray(g), backend.asarray(rest)], **OPTIONS)
            assert norm == pytest.approx(other.grad_norm, rel=1e-6, nan_ok=True)
            assert (mine == 0).all()
            assert like is None or (like[outside] == 7).all()
        assert opt.step_count == other.step_count == 4 - bool(first.size)
        assert (memory[outside] == 7).all()
        np.testing.assert_allclose(view_of(memory), dense, rtol=2e-5, atol=2e-6)
        average, expected = opt.averaged_params()[0], other.averaged_params()[0]
        np.testing.assert_allclose(
            backend.to_numpy(average), backend.to_numpy(expected), rtol=2e-5, atol=2e-6
        )
        before = memory.copy()
        with opt.averages():
            np.testing.assert_array_equal(view_of(memory), backend.to_numpy(average))
            assert (memory[outside] == 7).all()
        assert memory.tobytes() == before.tobytes()


def test_complex_gradients_are_two_reals(backend):
    """Their norm is that of both parts, and each part is clipped by value by itself."""
    g = np.array([3 + 4j, -30 + 0.1j], np.complex64)
    p = np.zeros(2, np.complex64)
    opt = gpuopt.AdamW(backend.asarray(p), backend=backend.name)
    opt.step(backend.asarray(g), max_norm=np.inf)
    assert opt.grad_norm == pytest.approx(np.sqrt(9 + 16 + 900 + 0.01), rel=1e-7)
    opt = gpuopt.AdamW(backend.asarray(p), backend=backend.name)
    opt.step(backend.asarray(g), max_value=1)
    m = backend.to_numpy(opt.state["0"]["m"])
    np.testing.assert_allclose(m, np.array([0.1 + 0.1j, -0.1 + 0.01j]), rtol=1e-6)
