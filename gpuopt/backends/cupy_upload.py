"""Small tables that go from the host to a GPU at every step, without waiting for it."""

import importlib
import itertools
import math
from typing import Any

import numpy as np

cupy: Any = importlib.import_module("cupy")  # never the backend beside this file

TURNS = 8  # steps that the host may be ahead of an upload before it waits


class Upload:
    """A device buffer, and page-locked host buffers that take turns to fill it.

    A copy from page-locked memory is asynchronous: it may be read after `send` has returned. So a
    buffer is written again only when its last copy is done, which is waited for if the host is
    `TURNS` steps ahead.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.target = cupy.empty(shape, dtype)
        self.turns = itertools.cycle(
            [
                (page_locked(shape, dtype), cupy.cuda.Event(disable_timing=True))
                for _ in range(TURNS)
            ]
        )

    def send(self, values: np.ndarray) -> None:
        """Fill the buffer with `values`, on the current stream."""
        staged, done = next(self.turns)
        done.synchronize()
        staged[...] = values
        self.target.data.copy_from_host_async(staged.ctypes.data, staged.nbytes)
        done.record()


def page_locked(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    count = math.prod(shape)
    memory = cupy.cuda.alloc_pinned_memory(max(count * dtype.itemsize, 1))
    return np.frombuffer(memory, dtype, count).reshape(shape)
