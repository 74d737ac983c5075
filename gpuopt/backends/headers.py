"""kernels/headers_numba.py, compiled: where gradients lie, asked of many at once."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuopt.backends.cache import import_source
from gpuopt.backends.watch import Watch
from gpuopt.lowering.python import kernel_text


@functools.cache
def headers() -> Any:
    """The module, compiled where the cache can be written. ImportError without Numba."""
    return import_source("headers", kernel_text("headers_numba"))


@functools.cache
def headers_are_readable() -> bool:
    """Whether NumPy's arrays lie in memory as it expects."""
    return headers().layout_is_known()


@functools.cache
def can_relocate() -> bool:
    """Whether launches can take gradients by their addresses; compiles what does it."""
    tables = [np.empty((0, columns), np.int64) for columns in (4, 2, 3)]
    try:
        return headers().relocate(np.empty(0, np.int64), *tables)
    except ImportError:
        return False


class CompiledWatch(Watch):
    """A `Watch` that reads the headers of NumPy's arrays, and what containers hold, in place."""

    def __init__(self, arrays: Sequence[tuple[str, Any]]) -> None:
        super().__init__(arrays)
        self.objects = np.array([id(array) for _, array in arrays], np.int64)
        self.read = headers().unchanged
        self.note()

    def note(self) -> None:
        """Take the arrays as they are now."""
        known = [array for array in self.all if isinstance(array, np.ndarray)]
        words = [pair for array in known for pair in headers().header_words(array)]
        self.words = np.array(words, np.int64).reshape(-1, 2)
        self.without_containers = id(()), self.objects[:0], self.words
        self.by_python = any(not isinstance(array, np.ndarray) for _, array, _ in self.looked_at)

    def check(self, now: tuple[Any, ...] | None) -> None:
        if now is None:
            same = self.read(*self.without_containers)
        else:
            same = self.read(id(now), self.objects, self.words)
        if self.by_python or not same:
            super().check(now)
        if not same:
            self.note()  # what differs is none of what matters


def watch(arrays: Sequence[tuple[str, Any]]) -> Watch:
    """What tells whether arrays have changed, in compiled code where that is possible."""
    try:
        return CompiledWatch(arrays) if headers_are_readable() else Watch(arrays)
    except ImportError:
        return Watch(arrays)
