"""Small tables that go from the host to a GPU at every step, without waiting for it."""

import math

import numpy as np

from gpuopt.backends.cupy_device import cupy
from gpuopt.backends.turns import Turns


class Upload:
    """A device buffer, and page-locked host buffers that take turns to fill it."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.target = cupy.empty(shape, dtype)
        size = math.prod(shape)
        self.turns = Turns(
            size, lambda: (page_locked(size, dtype), cupy.cuda.Event(disable_timing=True))
        )

    def send(self, values: np.ndarray) -> None:
        """Fill the buffer with `values`, on the current stream."""
        staged, done = self.turns.fill(values)
        self.target.data.copy_from_host_async(staged.ctypes.data, staged.nbytes)
        done.record()

    def send_now(self, values: np.ndarray) -> None:
        """Fill the buffer before this returns, on a stream of its own: where the current one is
        being captured in a graph, that would keep the copy instead of doing it."""
        staged, _ = self.turns.fill(values)
        side = cupy.cuda.Stream(non_blocking=True)
        self.target.data.copy_from_host_async(staged.ctypes.data, staged.nbytes, side)
        side.synchronize()


def page_locked(size: int, dtype: np.dtype) -> np.ndarray:
    memory = cupy.cuda.alloc_pinned_memory(max(size * dtype.itemsize, 1))
    return np.frombuffer(memory, dtype, size)
