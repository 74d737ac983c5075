"""16-bit floats on the Numba CUDA backend in Numba's simulator: run by test_numba_cuda.py."""

from typing import Any

import numpy as np
import pytest

import gpuopt
from gpuopt import backends, rules
from gpuopt.lowering import numba_cuda as printer
from tests.halves import HALVES, assert_rounded, dtype_of, numbers, step
from tests.kernels.numba_cuda_launch import THREADS, address, kernel
from tests.kernels.numba_cuda_pair import SILENT, Simulated, on_gpu
from tests.kernels.numba_cuda_simulated import at_offset, prepared
from tests.optional import optional

pytestmark = SILENT


@pytest.fixture(params=HALVES)
def dtype(request: pytest.FixtureRequest) -> np.dtype:
    return dtype_of(request.param)


@pytest.mark.parametrize("cls", [rules.SGD, rules.AdamW])
def test_a_step_is_the_formula_rounded_once(cls: Any, dtype: np.dtype) -> None:
    rng, rule = np.random.default_rng(0), cls(weight_decay=0.1)
    params = [numbers(rng, n, dtype) for n in (1, 4, 37)]
    params += [at_offset(numbers(rng, 40, dtype), k) for k in (1, 2, 4)]
    params += [numbers(rng, (3, 8), dtype)[:, ::2], numbers(rng, (5, 3), dtype).T]
    params += [numbers(rng, (0, 2), dtype), numbers(rng, (), dtype)]
    opt = gpuopt.Optimizer([on_gpu(p) for p in params], rule, lr=0.05, backend="numba-cuda")
    grads = [numbers(rng, p.shape, dtype) for p in params]
    exact = [
        step(rule, p, g, [np.zeros(p.shape, "f4") for _ in rule.state], 0.05, 1)
        for p, g in zip(params, grads, strict=True)
    ]
    opt.step([on_gpu(g) for g in grads], zero_grads=True)
    for k, (p, (new, state)) in enumerate(zip(params, exact, strict=True)):
        assert_rounded(p, new)
        for mine, expected in zip(opt.state[str(k)].values(), state, strict=True):
            assert mine.dtype == np.float32
            np.testing.assert_allclose(mine.copy_to_host(), expected, rtol=2e-6, atol=3e-7)
    assert not any(g.any() for g in grads)


@pytest.mark.parametrize("value", [1, np.inf, np.nan])
def test_norm(value: float, dtype: np.dtype, tmp_path: Any) -> None:
    rng = np.random.default_rng(1)
    g = numbers(rng, 301, dtype)
    g[[7, 300]] = value
    spread = np.zeros((301, 3), dtype)[:, 1]
    spread[...] = g
    arrays = [[g.copy(), x] for x in (g, at_offset(g, 1), at_offset(g, 4), spread)]
    swept = prepared(arrays, [0] * 4, 1024)
    partials = np.full((4, 2), 7.0)
    tables = (address(swept.tensors), address(swept.chunks), 4, address(swept.layouts))
    run = kernel(printer.norm(dtype.name), "norm", tmp_path)[2, THREADS]
    run(*tables, swept.tensors.shape[1], address(partials))
    assert (partials[:, 1] == (not np.isfinite(value))).all()
    exact = float((g.astype("f8") ** 2).sum())
    np.testing.assert_allclose(partials[:, 0], exact, rtol=1e-6)
    assert partials[0].tobytes() == partials[1].tobytes() == partials[2].tobytes()


def test_copies_between_layouts(dtype: np.dtype) -> None:
    backend: Any = backends.load("numba-cuda")
    a = numbers(np.random.default_rng(2), (4, 6), dtype)[:, ::2]
    b = (a * 2).astype(dtype)
    view = backend.view(on_gpu(a), "a", written=True)
    for values in (b, on_gpu(b), on_gpu(np.asfortranarray(b))):
        a[...] = 0
        backend.assign(view, values)
        np.testing.assert_array_equal(a, b)
        copied = backend.copy(view)
        np.testing.assert_array_equal(backend.to_host(copied), b)
    backend.assign(view, backend.zeros_like(view, np.dtype("f4")))
    assert not a.any()


def test_a_tensor_of_bfloat16_is_read_as_bits() -> None:
    torch = optional("torch")
    bits = dtype_of("bfloat16")

    class Tensor(Simulated):
        """A CUDA tensor: NumPy does not know its dtype, and it does not tell its memory."""

        dtype = torch.bfloat16
        __array_interface__ = property(lambda self: pytest.fail("torch raises here"))

        def detach(self):
            return self

        def view(self, dtype: Any) -> Any:
            assert dtype is torch.int16
            return on_gpu(self._ary.view(np.int16))

        def is_conj(self):
            return False

        is_neg = is_conj

    p = np.ones((3, 4), bits)
    gpuopt.SGD([Tensor(p)], lr=0.5, backend="numba-cuda").step([Tensor(np.ones((3, 4), bits))])
    assert (p == 0.5).all()
