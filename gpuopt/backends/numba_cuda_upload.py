"""Small tables that go from the host to a GPU at every step, without waiting for it."""

import itertools
import sys

import numpy as np

from gpuopt.backends.numba_cuda_device import cuda
from gpuopt.backends.numba_cuda_memory import EVENT, new, stream

TURNS = 8  # steps that the host may be ahead of an upload before it waits


class Upload:
    """A device buffer, and page-locked host buffers that take turns to fill it.

    A copy from page-locked memory is asynchronous: it may be read after `send` has returned. So a
    buffer is written again only when its last copy is done, which is waited for if the host is
    `TURNS` steps ahead.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.target = new(shape, dtype)
        self.size = self.target.memory.size
        count = max(self.size, 1)  # CUDA has no page-locked memory of no bytes
        self.buffers = [
            (cuda.pinned_array(count, dtype), cuda.event(**EVENT)) for _ in range(TURNS)
        ]
        for staged, _ in self.buffers:
            staged[:] = 0
        self.turns = itertools.cycle(self.buffers)

    def send(self, values: np.ndarray) -> None:
        """Fill the buffer with `values`, on Numba's default stream."""
        staged, done = next(self.turns)
        done.synchronize()
        if values.size != self.size:  # NumPy would broadcast them
            raise ValueError(f"{values.size} values for a buffer of {self.size}")
        staged[: self.size] = values.ravel()
        self.target.owner.copy_to_device(staged, stream=stream())
        done.record(stream())

    def send_now(self, values: np.ndarray) -> None:
        """The same: there is no graph here that would keep the copy instead of doing it."""
        self.send(values)

    def __del__(self) -> None:
        """Page-locked memory that is freed may be given out and written, so copies must be done."""
        for _, done in () if sys.is_finalizing() else getattr(self, "buffers", ()):
            done.synchronize()
