"""Where arrays lie: addresses, strides, and layouts that several arrays share."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Memory(NamedTuple):
    """Where an array lies: byte address, shape, strides in bytes, dtype, device (None: the CPU)."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    device: int | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count

    @property
    def bounds(self) -> tuple[int, int]:
        """First byte and one past the last byte that the array's elements touch."""
        low, high = span(self.shape, self.strides, self.dtype.itemsize)
        return self.address + low, self.address + high

    @property
    def as_real(self) -> "Memory":
        """The same memory as real numbers: a complex array gains a last axis of length two."""
        if self.dtype.kind != "c":
            return self
        half = np.dtype(f"f{self.dtype.itemsize // 2}")
        strides = (*self.strides, half.itemsize)
        return Memory(self.address, (*self.shape, 2), strides, half, self.device)


@functools.lru_cache(maxsize=4096)  # a model has many tensors, of few shapes
def span(shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> tuple[int, int]:
    """First byte and one past the last that elements touch, counted from the first element."""
    if 0 in shape:
        return 0, 0
    reach = [(n - 1) * step for n, step in zip(shape, strides, strict=True)]
    return sum(r for r in reach if r < 0), sum(r for r in reach if r > 0) + itemsize


class Layout(NamedTuple):
    """Axes that several arrays share: lengths, and for each array its strides in elements."""

    shape: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]

    @property
    def is_dense(self) -> bool:
        """Whether every array is one run of adjacent elements in the same order."""
        return len(self.shape) == 0 or (
            len(self.shape) == 1 and all(s == (1,) for s in self.strides)
        )


def common_layout(arrays: Sequence[Memory]) -> Layout:
    """The fewest axes along which `arrays` (of one shape) can be visited together.

    Axes are ordered as the first array lies in memory; neighbours that every array runs through
    without a break are merged, so arrays that are dense in the same order come out as one axis.
    """
    first = arrays[0]
    axes = [k for k, length in enumerate(first.shape) if length != 1]
    axes.sort(key=lambda k: -abs(first.strides[k]))
    steps = [[a.strides[k] // a.dtype.itemsize for a in arrays] for k in axes]
    lengths = [first.shape[k] for k in axes]
    for k in range(len(axes) - 2, -1, -1):
        if all(
            out == step * lengths[k + 1] for out, step in zip(steps[k], steps[k + 1], strict=True)
        ):
            lengths[k : k + 2] = [lengths[k] * lengths[k + 1]]
            del steps[k]
    strides = tuple(tuple(step[a] for step in steps) for a in range(len(arrays)))
    return Layout(tuple(lengths), strides)
