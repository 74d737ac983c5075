"""Parameters of float16 and bfloat16: arithmetic and state are float32, on every backend."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.halves import HALVES, assert_rounded, dtype_of, numbers, step
from tests.optional import optional

SIZES = [1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 255, 257, 2049]
RULES = [rules.SGD, rules.RMSprop, rules.AdamW]


@pytest.fixture(params=HALVES)
def dtype(request):
    return dtype_of(request.param)


@pytest.mark.parametrize("cls", RULES)
def test_a_step_is_the_formula_rounded_once(cls, dtype, backend):
    rng, rule = np.random.default_rng(0), cls(weight_decay=0.1)
    params = [numbers(rng, n, dtype) for n in SIZES]
    opt = gpuopt.Optimizer(
        [backend.asarray(p) for p in params], rule, lr=0.05, backend=backend.name
    )
    state = [[np.zeros(p.shape, "f4") for _ in rule.state] for p in params]
    for t in (1, 2, 3):
        grads = [numbers(rng, n, dtype) for n in SIZES]
        exact = [step(rule, *xs, 0.05, t) for xs in zip(params, grads, state, strict=True)]
        opt.step([backend.asarray(g) for g in grads])
        for k, (p, (new, buffers)) in enumerate(zip(params, exact, strict=True)):
            assert_rounded(p, new)
            state[k] = [backend.to_numpy(x).copy() for x in opt.state[str(k)].values()]
            for mine, expected in zip(state[k], buffers, strict=True):
                assert mine.dtype == np.float32
                np.testing.assert_allclose(mine, expected, rtol=2e-6, atol=3e-7)


VIEWS = {
    "transposed": ((5, 7), lambda a: a.T),
    "every second": ((9, 40), lambda a: a[:, ::2]),
    "backwards": ((40,), lambda a: a[::-1]),
    "from element 1": ((70,), lambda a: a[1:]),
    "from element 3": ((70,), lambda a: a[3:]),
    "0-d": ((9,), lambda a: a[4, ...]),
    "empty": ((0, 3), lambda a: a),
}


@pytest.mark.parametrize("layout", VIEWS)
def test_layouts_touch_their_own_elements_only(layout, dtype, backend):
    shape, view_of = VIEWS[layout]
    rng, rule = np.random.default_rng(1), rules.AdamW(weight_decay=0.1)
    whole, swept = numbers(rng, shape, dtype), np.zeros(shape, bool)
    view_of(swept)[...] = True
    before, p = whole.copy(), view_of(whole)
    exact, _ = step(rule, p, g := numbers(rng, p.shape, dtype), [np.zeros(p.shape)] * 2, 0.05, 1)
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=0.05, backend=backend.name)
    opt.step(backend.asarray(g))
    assert_rounded(p, exact)
    assert (whole[~swept] == before[~swept]).all()


def test_a_mixed_model_with_all_that_a_step_can_do(backend):
    """Three signatures; clipped by the norm of all, unscaled, averaged, zeroed."""
    rng = np.random.default_rng(2)
    kinds = [dtype_of("float16"), dtype_of("bfloat16"), np.dtype("f4")] * 2
    params = [numbers(rng, n, kind) for n, kind in zip((40, 41, 42, 3, 2, 1), kinds, strict=True)]
    wide = [p.astype("f4") for p in params]
    options = {"lr": 0.05, "weight_decay": 0.1, "average": 0.5}
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.AdamW(mine, backend=backend.name, **options)
    expected = gpuopt.AdamW(wide, backend="numpy", **options)
    for _ in range(2):
        grads = [numbers(rng, p.shape, p.dtype) for p in params]
        # `wide` goes on from what was rounded, so that each step is compared by itself.
        for p, w in zip(params, wide, strict=True):
            w[...] = p
        expected.step([g.astype("f4") for g in grads], max_norm=0.5, loss_scale=2.0)
        given = [backend.asarray(g) for g in grads]
        opt.step(given, max_norm=0.5, loss_scale=2.0, zero_grads=True)
        assert opt.grad_norm == pytest.approx(expected.grad_norm, rel=1e-6)
        assert all((g == 0).all() for g in grads)
        for p, w in zip(params, wide, strict=True):
            if p.dtype.itemsize == 2:
                assert_rounded(p, w)
            else:
                np.testing.assert_allclose(p, w, rtol=1e-6)
    assert len(opt._stepper.plan.sweeps) == 3
    kept = [p.copy() for p in params]
    with opt.averages():
        assert any((p != k).any() for p, k in zip(params, kept, strict=True))
    assert all((p == k).all() for p, k in zip(params, kept, strict=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_is_skipped(bad, dtype, backend):
    p, g = np.ones(300, dtype), np.ones(300, dtype)
    g[257] = bad
    opt = gpuopt.SGD(backend.asarray(p), lr=0.5, backend=backend.name)
    opt.step(backend.asarray(g), skip_nonfinite=True)
    assert (p == 1).all()
    assert opt.step_count == 0
    opt.step(backend.asarray(g))
    assert not np.isfinite(p[257].astype("f4"))
    assert (np.delete(p, 257) == 0.5).all()


def test_squares_that_overflow_float16_and_float32(dtype, backend):
    """The norm is of widened gradients; of bfloat16 ones it may need float64."""
    large = 6e4 if dtype.name == "float16" else 3e38
    g = np.full(5000, large).astype(dtype)
    g[::2] = 0
    opt = gpuopt.SGD(backend.asarray(np.zeros(5000, dtype)), lr=0.5, backend=backend.name)
    opt.step(backend.asarray(g), max_norm=math.inf, skip_nonfinite=True)
    assert opt.grad_norm == pytest.approx(float(g[1]) * 50, rel=3e-6)  # LLVM 14: one sum
    assert opt.step_count == 1


def test_what_is_too_large_becomes_infinite_without_a_warning(dtype, backend):
    top = np.finfo("f2").max if dtype.name == "float16" else 3.38e38
    p, g = np.full(9, top).astype(dtype), np.full(9, -top).astype(dtype)
    gpuopt.SGD(backend.asarray(p), lr=0.5, backend=backend.name).step(backend.asarray(g))
    assert np.isposinf(p.astype("f4")).all()


def test_small_steps_are_kept_in_the_state(dtype, backend):
    """beta2 = 0.999 is 1.0 in bfloat16, where the second moment would never grow."""
    opt = gpuopt.AdamW(backend.asarray(np.ones(5, dtype)), lr=1e-3, backend=backend.name)
    for _ in range(50):
        opt.step(backend.asarray(np.full(5, 2, dtype)))
    v = backend.to_numpy(opt.state["0"]["v"])
    np.testing.assert_allclose(v, 4 * -math.expm1(50 * math.log(0.999)), rtol=1e-5)


def test_a_checkpoint_with_the_parameters_goes_on_bit_for_bit(dtype, backend, tmp_path):
    optional("safetensors")
    rng = np.random.default_rng(3)
    p, q = numbers(rng, 33, dtype), np.zeros(33, dtype)
    one, other = (gpuopt.AdamW(backend.asarray(x), lr=0.1, backend=backend.name) for x in (p, q))
    one.step(backend.asarray(numbers(rng, 33, dtype)))
    one.save(tmp_path / "a.safetensors", params=True)
    other.load(tmp_path / "a.safetensors")
    assert (p == q).all()
    g = numbers(rng, 33, dtype)
    for opt in (one, other):
        opt.step(backend.asarray(g.copy()))
    assert p.tobytes() == q.tobytes()
    third = gpuopt.AdamW(backend.asarray(q), lr=0.1, backend=backend.name)
    third.load_state_dict(one.state_dict())
    assert backend.to_numpy(third.state["0"]["m"]).dtype == np.float32


class Tensor:
    """A bfloat16 tensor of PyTorch in a GPU's memory, which lends itself as int16."""

    def __init__(self, host, dtype):
        self.host, self.dtype = host, dtype

    shape = property(lambda self: self.host.shape)

    def detach(self):
        return self

    def view(self, dtype):
        return Tensor(self.host.view(str(dtype).removeprefix("torch.")), dtype)

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, stream):
        assert str(self.dtype) == "torch.int16", "CuPy 13 would crash"
        return self.host


@pytest.mark.usefixtures("cupy_stand_in")
def test_a_bfloat16_tensor_on_a_gpu_is_read_by_cupy_as_bits():
    torch = optional("torch")
    whole = np.ones((3, 8), dtype_of("bfloat16"))
    opt = gpuopt.SGD(Tensor(whole[:, ::2], torch.bfloat16), lr=0.5, backend="cupy")
    opt.step(Tensor(np.ones((3, 4), whole.dtype), torch.bfloat16))
    assert (whole[:, ::2] == 0.5).all()
    assert (whole[:, 1::2] == 1).all()


@pytest.mark.parametrize("name", HALVES)
def test_a_loss_scale_on_a_gpu_must_be_float32_or_float64(name, cupy_stand_in):
    ones = [cupy_stand_in.ndarray(np.ones(3, "f4")) for _ in range(2)]
    opt = gpuopt.SGD(ones[0], lr=0.5, backend="cupy")
    scale = cupy_stand_in.ndarray(np.ones(1, dtype_of(name)))
    with pytest.raises(ValueError, match=r"loss_scale must be .* float32 or float64 element"):
        opt.step(ones[1], loss_scale=scale)
