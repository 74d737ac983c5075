"""Arrays of Numba's simulator, and an optimizer over them beside one of the numpy backend."""

from typing import Any

import numpy as np
import pytest
from numba import cuda

import gpuopt
from gpuopt.kernels.device_numba_cuda import simulated

assert simulated(), "set NUMBA_ENABLE_CUDASIM=1"
SILENT = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a GPU overflows silently
Simulated = type(cuda.device_array(1))
STRIDED = (slice(None), slice(None, None, 2))


def on_gpu(a: np.ndarray) -> Any:
    """A device array over the memory of `a`, however it lies."""
    return Simulated(a)


def made(dtype: str, seed: int) -> list[np.ndarray]:
    """Arrays of every layout: dense, unaligned, transposed, strided, three axes, empty, 0-d."""
    rng = np.random.default_rng(seed)

    def new(*shape: int) -> np.ndarray:
        x = rng.uniform(0.3, 2, shape) * rng.choice([-1, 1], shape)
        return np.asarray(x + 1j * rng.uniform(0.3, 2, shape) if dtype[0] == "c" else x, dtype)

    return [new(21), new(18)[1:], new(3, 5).T, new(4, 6)[STRIDED], new(2, 3, 2), new(0, 3), new()]


def laid_otherwise(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """The same values, in other layouts."""
    return [
        arrays[0][::-1].copy()[::-1],
        arrays[1].copy(),
        arrays[2].copy(order="C"),
        np.asfortranarray(arrays[3]),
        arrays[4].transpose(1, 2, 0).copy().transpose(2, 0, 1),
        arrays[5].copy(),
        arrays[6].copy(),
    ]


class Pair:
    """The same optimizer on the numpy backend, and here."""

    def __init__(self, rule: Any, dtype: str = "float32", **options: Any) -> None:
        self.host, self.device = made(dtype, 0), made(dtype, 0)
        self.dtype = dtype
        given = {"lr": 0.1, **options}
        self.expected = gpuopt.Optimizer(self.host, rule, backend="numpy", **given)
        arrays = [on_gpu(a) for a in self.device]
        self.opt = gpuopt.Optimizer(arrays, rule, backend="numba-cuda", **given)
        self.scalers: list[Any] = [None, None]

    def step(self, seed: int, without: tuple[int, ...] = (), bad: Any = None, **options: Any):
        """A step of both, and the gradients given here."""
        grads = made(self.dtype, seed)
        if bad is not None:
            grads[3][-1, -1] = bad
        given = [g.copy() for g in grads], laid_otherwise(grads)
        for k in without:
            given[0][k] = given[1][k] = None  # type: ignore[call-overload]
        self.expected.step(given[0], **options)
        self.opt.step([None if g is None else on_gpu(g) for g in given[1]], **options)
        return given[1]

    def check(self) -> None:
        is_double = self.dtype in ("float64", "complex128")
        near = {"rtol": 1e-13, "atol": 1e-16} if is_double else {"rtol": 3e-6, "atol": 1e-8}
        for k, (a, b) in enumerate(zip(self.device, self.host, strict=True)):
            np.testing.assert_allclose(a, b, **near)
            state, expected = self.opt.state[str(k)], self.expected.state[str(k)]
            assert state.keys() == expected.keys()
            for name in state:
                assert type(state[name]) is Simulated
                np.testing.assert_allclose(state[name].copy_to_host(), expected[name], **near)
        assert self.opt.param_steps == self.expected.param_steps
        assert self.opt.step_count == self.expected.step_count
