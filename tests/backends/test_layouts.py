"""Parameters and gradients of any strides: the right elements change, and nothing else."""

import numpy as np
import pytest

import gpuopt
from tests.optional import optional

OPTIONS = {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True}

# From a base array to a view of it.
VIEWS = {
    "whole": ((5, 7, 6), lambda a: a),
    "transposed": ((5, 7), lambda a: a.T),
    "every second row": ((9, 7), lambda a: a[::2]),
    "every second column": ((9, 8), lambda a: a[:, ::2]),
    "a column": ((9, 8), lambda a: a[..., 0]),
    "a middle": ((9, 12), lambda a: a[2:7, 3:9]),
    "reversed": ((40,), lambda a: a[::-1]),
    "reversed rows": ((6, 7), lambda a: a[::-1, 1:]),
    "permuted": ((3, 4, 5), lambda a: a.transpose(2, 0, 1)),
    "permuted and cut": ((6, 4, 5), lambda a: a.transpose(1, 2, 0)[1:, ::2, ::-1]),
    "unaligned": ((70,), lambda a: a[1:]),
    "one element of many": ((9, 8), lambda a: a[3:4, 5]),
    "0-d": ((), lambda a: a),
    "0-d from a row": ((9,), lambda a: a[4]),
    "new axes": ((9,), lambda a: a[None, :, None]),
}


def contiguous_run(p, grads, dtype):
    """What the same elements become when they lie one after the other."""
    p = np.array(p, dtype, order="C")
    opt = gpuopt.Adam(p, backend="numpy", **OPTIONS)
    for g in grads:
        opt.step(np.array(g, dtype, order="C"))
    return p


def near(a, b):
    """Equal to a few units in the last place: backends may fuse a product and a sum, or not."""
    np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["f4", "c8"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_updated_and_its_surroundings_are_not(backend, view, dtype):
    shape, take = VIEWS[view]
    rng = np.random.default_rng(1)
    whole = (rng.normal(size=shape) + 1j).astype(dtype) if dtype == "c8" else rng.normal(size=shape)
    whole = np.asarray(whole, dtype)
    before, address = whole.copy(), whole.ctypes.data
    param = backend.asarray(np.asarray(take(whole)[...]))
    if np.ndim(take(whole)) == 0 and whole.ndim:  # a[4] is a scalar; a[4, ...] is a view
        param = backend.asarray(whole[4, ...])
    grads = [np.asarray(rng.normal(size=param.shape) + 2, dtype) for _ in range(3)]
    opt = gpuopt.Adam(param, backend=backend.name, **OPTIONS)
    for g in grads:
        assert opt.step(backend.asarray(g)) is None
    expected = before.copy()
    if whole.ndim and np.ndim(take(whole)) == 0:
        expected[4] = contiguous_run(before[4], grads, dtype)
    else:
        take(expected)[...] = contiguous_run(take(before), grads, dtype)
    near(whole, expected)
    outside = expected == before
    np.testing.assert_array_equal(whole[outside], before[outside])
    assert whole.ctypes.data == address
    assert np.any(whole != before)


@pytest.mark.parametrize("param_order", ["C", "F"])
@pytest.mark.parametrize("grad_order", ["C", "F"])
def test_gradient_in_another_order_than_its_parameter(backend, param_order, grad_order):
    rng = np.random.default_rng(2)
    p = np.array(rng.normal(size=(37, 23)), "f4", order=param_order)
    grads = [np.array(rng.normal(size=(37, 23)), "f4", order=grad_order) for _ in range(3)]
    expected = contiguous_run(p, grads, "f4")
    opt = gpuopt.Adam(backend.asarray(p), backend=backend.name, **OPTIONS)
    for g in grads:
        opt.step(backend.asarray(g))
    near(p, expected)


def test_the_gradients_order_may_change_between_steps(backend):
    rng = np.random.default_rng(3)
    p = rng.normal(size=(12, 11)).astype("f4")
    grads = [np.array(rng.normal(size=(12, 11)), "f4", order=order) for order in "CFFCFC"]
    expected = contiguous_run(p, grads, "f4")
    opt = gpuopt.Adam(backend.asarray(p), backend=backend.name, **OPTIONS)
    for g in grads:
        opt.step(backend.asarray(g))
    near(p, expected)


@pytest.mark.parametrize("shape", [(97, 205), (7, 6001), (6001, 7), (20, 30, 50)])
def test_large_arrays_in_different_orders(backend, shape):
    """Cut into several chunks, in the middle of their rows, after a parameter of odd size."""
    rng = np.random.default_rng(8)
    first, p = np.ones(1237, "f4"), rng.normal(size=shape).astype("f4")
    g = np.array(rng.normal(size=shape), "f4", order="F")
    views = [np.zeros((*shape, 2), "f4")[..., 1], np.zeros(shape[::-1], "f4").T, p]
    expected = contiguous_run(p, [g], "f4")
    params = [first]
    for view in views:
        view[...] = p
        params.append(view)
    opt = gpuopt.Adam([backend.asarray(x) for x in params], backend=backend.name, **OPTIONS)
    opt.step([backend.asarray(x) for x in (np.ones_like(first), g, np.array(g, order="C"), g)])
    for view in views:
        near(view, expected)


def test_a_broadcast_gradient_is_read(backend):
    p, g = np.ones((5, 6), "f4"), np.broadcast_to(np.arange(1, 7, dtype="f4"), (5, 6))
    expected = contiguous_run(p, [g], "f4")
    gpuopt.Adam(backend.asarray(p), backend=backend.name, **OPTIONS).step(backend.asarray(g))
    near(p, expected)


def test_interleaved_views_are_two_parameters(backend):
    w = np.arange(1, 42, dtype="f4")
    even, odd = np.full(21, 3, "f4"), np.full(20, -5, "f4")
    expected = w.copy()
    expected[::2] = contiguous_run(w[::2], [even], "f4")
    expected[1::2] = contiguous_run(w[1::2], [odd], "f4")
    opt = gpuopt.Adam(
        [backend.asarray(w[::2]), backend.asarray(w[1::2])], backend=backend.name, **OPTIONS
    )
    opt.step([backend.asarray(even), backend.asarray(odd)])
    near(w, expected)


@pytest.mark.parametrize("sizes", [(0, 5, 9), (5, 0, 9), (5, 9, 0), (0, 0), (0,), (0, 5, 0, 9, 0)])
def test_empty_tensors(backend, sizes):
    params = [np.ones(n, "f4") for n in sizes]
    opt = gpuopt.SGD([backend.asarray(p) for p in params], lr=1, backend=backend.name)
    for _ in range(2):
        opt.step([backend.asarray(np.full(n, n, "f4")) for n in sizes])
    for n, p in zip(sizes, params, strict=True):
        np.testing.assert_array_equal(p, np.full(n, 1 - 2 * n, "f4"))


def test_an_empty_matrix(backend):
    p = np.ones((3, 0, 2), "f4")
    opt = gpuopt.Adam(backend.asarray(p), backend=backend.name)
    opt.step(backend.asarray(p.copy()))
    assert opt.state["0"]["m"].shape == (3, 0, 2)


@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_is_two_reals(backend, dtype):
    """Each part gets its own second moment: |g|^2 is not used. So does PyTorch."""
    p = np.array([1 + 2j, -3 + 0.5j], dtype)
    g = np.array([4 - 1j, 0.25 + 8j], dtype)
    parts = np.stack([p.real, p.imag]), np.stack([g.real, g.imag])
    expected = contiguous_run(parts[0], [parts[1]] * 2, parts[0].dtype)
    opt = gpuopt.Adam(backend.asarray(p), backend=backend.name, **OPTIONS)
    opt.step(backend.asarray(g))
    opt.step(backend.asarray(g))
    near(p.real, expected[0])
    near(p.imag, expected[1])
    assert opt.state["0"]["m"].dtype == p.dtype


def test_complex_adam_is_pytorchs(backend):
    torch = optional("torch")
    rng = np.random.default_rng(5)
    draw = lambda: rng.normal(size=(6, 5)) + 1j * rng.normal(size=(6, 5))  # noqa: E731
    p, grads = draw(), [draw() for _ in range(4)]
    q = torch.tensor(p, requires_grad=True)
    peer = torch.optim.Adam([q], lr=0.1, weight_decay=0.3)
    opt = gpuopt.Adam(backend.asarray(p), lr=0.1, weight_decay=0.3, backend=backend.name)
    for g in grads:
        q.grad = torch.tensor(g)
        peer.step()
        opt.step(backend.asarray(g))
    np.testing.assert_allclose(p, q.detach().numpy(), rtol=1e-12, atol=1e-12)
