"""Page-locked host buffers that take turns, so that copies from them need not be waited for."""

import itertools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

TURNS = 8  # steps that the host may be ahead of a copy before it waits


class Turns:
    """Buffers for values of one size, each with the event of the last copy from it.

    A copy from page-locked memory is asynchronous: it may be read after the call has returned. So a
    buffer is written again only when its last copy is done, which is waited for if the host is
    `TURNS` steps ahead.
    """

    def __init__(self, size: int, make: Callable[[], tuple[np.ndarray, Any]]) -> None:
        """make: one axis of page-locked memory, of `size` elements or more, and an event."""
        self.size = size
        self.buffers = [make() for _ in range(TURNS)]
        self.cycle = itertools.cycle(self.buffers)

    def fill(self, values: np.ndarray) -> tuple[np.ndarray, Any]:
        """The next buffer, with `values` in it, and the event to record after their copy."""
        staged, done = next(self.cycle)
        done.synchronize()
        if values.size != self.size:  # NumPy would broadcast them
            raise ValueError(f"{values.size} values for a buffer of {self.size}")
        staged[: self.size] = values.ravel()
        return staged, done

    def __del__(self) -> None:
        """Page-locked memory that is freed may be given out and written, so copies must be done."""
        for _, done in () if sys.is_finalizing() else getattr(self, "buffers", ()):
            done.synchronize()
