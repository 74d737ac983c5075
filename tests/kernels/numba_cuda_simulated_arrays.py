"""Arrays that the Numba CUDA backend takes or refuses, in the simulator: see test_numba_cuda.py."""

import copy
import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numba import cuda

import gpuopt
from gpuopt import backends
from gpuopt.backends import numba_cuda, numba_cuda_memory
from tests.kernels.numba_cuda_pair import SILENT, Simulated, on_gpu

pytestmark = SILENT


class Tensor(Simulated):
    """What a torch tensor has, as far as the backend looks."""

    asks_for_gradients = conjugated = False

    def detach(self):
        return Tensor(self._ary)

    def is_conj(self):
        return self.conjugated

    def is_neg(self):
        return False

    @property
    def __array_interface__(self):
        if self.asks_for_gradients:
            raise RuntimeError("Can't get __cuda_array_interface__ on Variable that requires grad.")
        return self._ary.__array_interface__


def test_a_tensor_that_asks_for_gradients_is_stepped():
    p = np.ones(3, np.float32)
    tensor = Tensor(p)
    tensor.asks_for_gradients = True
    gpuopt.SGD([tensor], lr=1.0, backend="numba-cuda").step([Tensor(p * 2)])
    assert p.tolist() == [-1] * 3


def refused(array: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=rf"params\['w'\].*{words}"):
        gpuopt.SGD({"w": array}, lr=1.0, backend="numba-cuda")


def test_arrays_that_cannot_be_stepped():
    ones = np.ones(4, np.float32)
    refused(ones, TypeError, "must lie in GPU memory for the numba-cuda backend .*got ndarray")
    refused(on_gpu(ones.astype("i4")), TypeError, "has dtype int32; the numba-cuda backend takes")
    unaligned = np.zeros(17, np.uint8)[1:].view("f4")
    refused(on_gpu(unaligned), ValueError, r"not a multiple of its item size \(4 bytes\)")
    frozen = ones.copy()
    frozen.flags.writeable = False
    refused(on_gpu(frozen), ValueError, "is read-only, so a step could not update it in place")


def test_a_lazily_conjugated_tensor_is_refused():
    tensor = Tensor(np.ones(3, np.complex64))
    tensor.conjugated = True
    refused(tensor, TypeError, "is conjugated or negated only when read")


def test_gradients_that_do_not_fit():
    p = np.ones((2, 3), np.float32)
    opt = gpuopt.SGD([on_gpu(p)], lr=1.0, backend="numba-cuda")
    frozen = p.copy()
    frozen.flags.writeable = False
    opt.step([on_gpu(frozen)])  # it is only read
    assert not p.any()
    for g, words in [
        (np.ones((3, 2), np.float32), "has shape"),
        (np.ones((2, 3)), "has dtype float64"),
        (p, "share memory"),
    ]:
        with pytest.raises(ValueError, match=words):
            opt.step([on_gpu(g)])
    with pytest.raises(ValueError, match="is read-only"):
        opt.step([on_gpu(frozen)], zero_grads=True)
    with pytest.raises(TypeError, match="must lie in GPU memory"):
        opt.step([np.ones((2, 3), np.float32)])
    assert not p.any()
    assert opt.step_count == 1


def test_several_devices_are_refused_before_anything_changes(monkeypatch):
    a, b = np.ones(3, np.float32), np.ones(3, np.float32)
    place = {a.ctypes.data: 0, b.ctypes.data: 1}
    monkeypatch.setattr(numba_cuda_memory, "device_of", lambda address: place.get(address, 0))
    monkeypatch.setattr(numba_cuda.NumbaCudaBackend, "on", lambda self, device: cuda.gpus[0])
    opt = gpuopt.SGD([on_gpu(a), on_gpu(b)], lr=1.0, backend="numba-cuda")
    g = [np.ones(3, np.float32) for _ in range(2)]
    place[g[1].ctypes.data] = 1
    with pytest.raises(ValueError, match=r"steps on one device, and these .* on 0 and 1"):
        opt.step([on_gpu(x) for x in g])
    assert a.tolist() == b.tolist() == [1] * 3
    place[g[0].ctypes.data] = 1
    with pytest.raises(ValueError, match=r"gradient of params\[0\] has device 1"):
        opt.step([on_gpu(x) for x in g])


def test_an_optimizer_is_not_copied_by_address():
    opt = gpuopt.SGD([on_gpu(np.ones(3, np.float32))], lr=1.0, backend="numba-cuda")
    for attempt in (copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be copied or pickled"):
            attempt(opt)


def test_it_is_the_second_choice_for_device_arrays():
    p = cuda.to_device(np.ones(3, np.float32))
    if backends.unavailable("cupy") is None:
        pytest.skip("CuPy runs here")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert gpuopt.SGD([p], lr=1.0).backend == "numba-cuda"
    assert [str(w.message).startswith("using the numba-cuda backend: ") for w in seen] == [True]


def test_the_rule_of_a_user_whose_buffer_has_the_name_of_a_function():
    @dataclass(frozen=True)
    class Shadowing(gpuopt.Rule):
        state = ("sqrt",)

        def scalars(self, lr, t):
            return {"lr": lr}

        def update(self, p, g, sqrt, s):
            return p - s.lr * np.sqrt(np.abs(g)), sqrt + g

    opt = gpuopt.Optimizer([on_gpu(np.ones(3, "f4"))], Shadowing(), lr=1.0, backend="numba-cuda")
    with pytest.raises(gpuopt.LoweringError, match="the state buffer name 'sqrt' is taken"):
        opt.step([on_gpu(np.ones(3, "f4"))])
