"""`max_norm` and `grad_norm`: values, bits, overflow, and when there is no norm to read."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.parity.cases import SIZES

FLT_MAX = float(np.finfo(np.float32).max)


def optimizer(backend, grads, **options):
    """AdamW over ones that lie as the gradients do; the parameters, in the CPU's memory."""
    params = [np.ones_like(g) for g in grads]
    mine = [backend.asarray(p) for p in params]
    return gpuopt.Optimizer(mine, rules.AdamW(), lr=0.5, backend=backend.name, **options), params


def norm(backend, grads, **options):
    mine = [backend.asarray(np.ones_like(g)) for g in grads]
    opt = gpuopt.SGD(mine, lr=0.5, backend=backend.name)
    opt.step([backend.asarray(g) for g in grads], max_norm=math.inf, **options)
    return opt.grad_norm


def draw(dtype=np.float32, sizes=SIZES):
    rng = np.random.default_rng(11)
    return [(rng.normal(size=n) * 10 ** rng.uniform(-3, 3, n)).astype(dtype) for n in sizes]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_norm_has_the_same_bits_in_every_order_and_every_time(dtype, backend):
    grads = draw(dtype)
    first = norm(backend, grads)
    exact = math.sqrt(math.fsum(float(np.sum(g.astype("f8") ** 2)) for g in grads))
    assert first == pytest.approx(exact, rel=1e-7)
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(len(grads))
        assert norm(backend, [grads[k] for k in order]) == first
    assert norm(backend, grads[::-1]) == norm(backend, grads) == first


def test_infinity_only_measures(backend):
    grads = draw()
    opt, params = optimizer(backend, grads)
    other, expected = optimizer(backend, grads)
    opt.step([backend.asarray(g) for g in grads], max_norm=math.inf)
    other.step([backend.asarray(g) for g in grads])
    for p, q in zip(params, expected, strict=True):
        assert p.tobytes() == q.tobytes()


def test_a_norm_of_exactly_the_bound_or_below_clips_nothing_beside_rounding(backend):
    grads = [np.array([3, 4], np.float32)]
    for max_norm, factor in ((5.001, 1.0), (2.5, 0.5), (0.0, 0.0), (1e-30, 2e-31)):
        opt, _ = optimizer(backend, grads)
        opt.step([backend.asarray(g) for g in grads], max_norm=max_norm)
        m = backend.to_numpy(opt.state["0"]["m"])
        np.testing.assert_allclose(m, 0.1 * factor * grads[0], rtol=1e-6)
        assert opt.grad_norm == 5


def test_max_norm_0_leaves_the_decay(backend):
    grads = draw()
    opt, params = optimizer(backend, grads)
    opt.step([backend.asarray(g) for g in grads], max_norm=0)
    for p in params:
        np.testing.assert_array_equal(p, np.float32(1 - 0.5 * 0.01))


def test_squares_that_overflow_float32_have_a_norm_and_are_not_found(backend):
    grads = [np.full(n, sign * FLT_MAX, np.float32) for n, sign in ((300, 1), (2049, -1), (1, 1))]
    opt, _ = optimizer(backend, grads)
    given = [backend.asarray(g) for g in grads]
    opt.step(given, max_norm=1e15, skip_nonfinite=True)
    assert opt.grad_norm == pytest.approx(FLT_MAX * math.sqrt(2350), rel=1e-7)
    assert opt.step_count == 1
    for k in range(3):
        m = backend.to_numpy(opt.state[str(k)]["m"])
        np.testing.assert_allclose(np.abs(m), 1e14 / math.sqrt(2350), rtol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "cupy"], indirect=True)
def test_a_norm_past_float64_is_infinite_and_nothing_is_found(backend):
    for sizes in ([5], [1] * 300):
        grads = [np.full(n, 1e200 if n > 1 else 1e153) for n in sizes]
        opt, params = optimizer(backend, grads)
        given = [backend.asarray(g) for g in grads]
        opt.step(given, max_norm=1.0, skip_nonfinite=True)
        assert (opt.step_count, opt.grad_norm > 1e154) == (1, True)
        assert all(np.isfinite(p).all() for p in params)


@pytest.mark.parametrize("scale", [0.25, 1000, 2.0**40])
def test_the_norm_is_that_of_unscaled_gradients(scale, backend):
    grads = [(g * scale).astype(np.float32) for g in draw(np.float64)]
    exact = math.sqrt(math.fsum(float(np.sum(g.astype("f8") ** 2)) for g in grads)) / scale
    assert norm(backend, grads, loss_scale=scale) == pytest.approx(exact, rel=1e-7)


def test_one_norm_over_several_dtypes_and_only_gradients_that_are_there(backend):
    sizes = {"f4": 4, "c8": 8}  # 4 ones; 8 of 3 + 4j
    if backend.name != "numba":  # saves it four kernels
        sizes |= {"f8": 8, "c16": 3}
    grads = [np.full(n, 3 + 4j if d[0] == "c" else 1, d) for d, n in sizes.items()]
    opt, _ = optimizer(backend, [*grads, np.ones(3, "f4")])
    opt.step([*[backend.asarray(g) for g in grads], None], max_norm=math.inf)
    total = sum(n * (25 if d[0] == "c" else 1) for d, n in sizes.items())
    assert opt.grad_norm == pytest.approx(math.sqrt(total), rel=1e-15)


def test_nothing_but_empty_gradients_or_none(backend):
    opt, _ = optimizer(backend, [np.ones(0, "f4"), np.ones((3, 0), "f4")])
    empty = [backend.asarray(np.ones(s, "f4")) for s in (0, (3, 0))]
    opt.step(empty, max_norm=1.0, skip_nonfinite=True)
    assert (opt.grad_norm, opt.step_count) == (0, 1)
    opt.step([None, None], max_norm=1.0)
    assert (opt.grad_norm, opt.step_count) == (0, 2)


def test_grad_norm_of_a_step_that_measured_none(backend):
    g = [backend.asarray(np.ones(4, np.float32))]
    opt, _ = optimizer(backend, [np.ones(4, np.float32)])
    steps = [{}, {"loss_scale": 2.0}, {"max_value": 1.0}, {"zero_grads": True}]
    with pytest.raises(RuntimeError, match="measured no norm; pass it max_norm"):
        _ = opt.grad_norm
    for options in steps:
        opt.step(g, max_norm=math.inf)
        assert opt.grad_norm == 2
        opt.step(g, **options)
        with pytest.raises(RuntimeError, match="measured no norm; pass it max_norm"):
            _ = opt.grad_norm
        g = [backend.asarray(np.ones(4, np.float32))]
    opt.step(g, skip_nonfinite=True)
    assert opt.grad_norm == 2
    opt.load_state_dict(opt.state_dict())
    with pytest.raises(RuntimeError, match="measured no norm"):
        _ = opt.grad_norm
