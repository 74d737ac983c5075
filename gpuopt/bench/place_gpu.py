"""Arrays in a GPU's memory, and copies between it and page-locked memory of the host."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuopt import backends
from gpuopt.bench.clock_gpu import library
from gpuopt.bench.place import Place


class CupyMemory:
    """CuPy's arrays on one GPU."""

    def __init__(self, index: int) -> None:
        self.index = index

    def device(self) -> Any:
        return library().cuda.Device(self.index)

    def empty(self, length: int, dtype: np.dtype) -> Any:
        return library().empty(length, dtype)

    def upload(self, array: np.ndarray) -> Any:
        return library().asarray(array)

    def download(self, array: Any) -> np.ndarray:
        with self.device():
            return library().asnumpy(array)

    def wait(self) -> None:
        self.device().synchronize()

    @property
    def l2(self) -> int:
        return library().cuda.runtime.getDeviceProperties(self.index).get("l2CacheSize", 0)


class TorchMemory(CupyMemory):
    """torch's tensors on one GPU, for bfloat16, which CuPy has not."""

    def empty(self, length: int, dtype: np.dtype) -> Any:
        import torch

        return torch.empty(length, dtype=getattr(torch, dtype.name), device=f"cuda:{self.index}")

    def upload(self, array: np.ndarray) -> Any:
        import torch

        from gpuopt.bench.peers.tensors import tensor

        return tensor(np.array(array)).to(torch.device("cuda", self.index))

    def download(self, array: Any) -> np.ndarray:
        from gpuopt.backends.host import as_numpy

        return as_numpy(array.cpu(), "a parameter")


class Copies:
    """Gradients come from page-locked memory before a step, and parameters go back there after it.

    gradients, parameters: the blocks in the host's memory, cut as those on the GPU are.
    """

    def __init__(self, place: Place) -> None:
        self.gradients, self.parameters = (pinned(place.length, place.dtype) for _ in range(2))
        self.device = place.memory.device
        self.brought = pairs(place.grads, place.cut(self.gradients))
        self.taken = pairs(place.params, place.cut(self.parameters))

    def around(self, step: Callable[[], object]) -> None:
        """A step with its copies, all on the current stream."""
        with self.device():
            for data, address, size in self.brought:
                data.copy_from_host_async(address, size)
            step()
            for data, address, size in self.taken:
                data.copy_to_host_async(address, size)


def pinned(length: int, dtype: np.dtype) -> np.ndarray:
    """Page-locked memory of the host."""
    size = length * dtype.itemsize
    return np.frombuffer(library().cuda.alloc_pinned_memory(size), np.uint8, size).view(dtype)


def pairs(arrays: list[Any], hosts: list[np.ndarray]) -> list[tuple[Any, int, int]]:
    """CuPy's pointer to each array that has elements, the address of its host's, and bytes."""
    view = backends.load("cupy").view
    return [
        (view(array, "an array", written=True).data, host.ctypes.data, host.nbytes)
        for array, host in zip(arrays, hosts, strict=True)
        if host.size
    ]
