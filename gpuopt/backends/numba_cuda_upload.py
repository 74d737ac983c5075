"""Small tables that go from the host to a GPU at every step, without waiting for it."""

from typing import Any

import numpy as np

from gpuopt.backends.numba_cuda_device import cuda
from gpuopt.backends.numba_cuda_memory import EVENT, new, stream
from gpuopt.backends.turns import Turns


class Upload:
    """A device buffer, and page-locked host buffers that take turns to fill it."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.target = new(shape, dtype)
        size = self.target.memory.size

        def make() -> tuple[np.ndarray, Any]:
            staged = cuda.pinned_array(max(size, 1), dtype)  # CUDA has none of no bytes
            staged[:] = 0
            return staged, cuda.event(**EVENT)

        self.turns = Turns(size, make)

    def send(self, values: np.ndarray) -> None:
        """Fill the buffer with `values`, on Numba's default stream."""
        staged, done = self.turns.fill(values)
        self.target.owner.copy_to_device(staged, stream=stream())
        done.record(stream())

    def send_now(self, values: np.ndarray) -> None:
        """The same: there is no graph here that would keep the copy instead of doing it."""
        self.send(values)
