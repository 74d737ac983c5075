"""Small tables that go from the host to a GPU at every step, without waiting for it."""

import itertools
import math
import sys
from typing import Any

import numpy as np

from gpuopt.backends.cupy_device import cupy

TURNS = 8  # steps that the host may be ahead of an upload before it waits


class Upload:
    """A device buffer, and page-locked host buffers that take turns to fill it.

    A copy from page-locked memory is asynchronous: it may be read after `send` has returned. So a
    buffer is written again only when its last copy is done, which is waited for if the host is
    `TURNS` steps ahead.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.target = cupy.empty(shape, dtype)
        self.buffers = [
            (page_locked(shape, dtype), cupy.cuda.Event(disable_timing=True)) for _ in range(TURNS)
        ]
        self.turns = itertools.cycle(self.buffers)

    def send(self, values: np.ndarray) -> None:
        """Fill the buffer with `values`, on the current stream."""
        staged, done = self.stage(values)
        self.target.data.copy_from_host_async(staged.ctypes.data, staged.nbytes)
        done.record()

    def send_now(self, values: np.ndarray) -> None:
        """Fill the buffer before this returns, on a stream of its own: where the current one is
        being captured in a graph, that would keep the copy instead of doing it."""
        staged, _ = self.stage(values)
        side = cupy.cuda.Stream(non_blocking=True)
        self.target.data.copy_from_host_async(staged.ctypes.data, staged.nbytes, side)
        side.synchronize()

    def stage(self, values: np.ndarray) -> tuple[np.ndarray, Any]:
        """Values in the next page-locked buffer, and the event to record after their copy."""
        staged, done = next(self.turns)
        done.synchronize()
        if values.shape != staged.shape:  # NumPy would broadcast them
            raise ValueError(f"values of shape {values.shape} for a buffer of {staged.shape}")
        staged[...] = values
        return staged, done

    def __del__(self) -> None:
        """CuPy gives freed page-locked memory out again at once, so copies must be done."""
        for _, done in () if sys.is_finalizing() else getattr(self, "buffers", ()):
            done.synchronize()


def page_locked(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    count = math.prod(shape)
    memory = cupy.cuda.alloc_pinned_memory(max(count * dtype.itemsize, 1))
    return np.frombuffer(memory, dtype, count).reshape(shape)
