"""Where arrays lie: addresses, strides, layouts that several arrays share, overlaps."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

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


def overlaps_itself(array: Memory) -> bool:
    """Whether two elements share memory, as after broadcast_to or expand.

    Exact for every view that slicing, transposing and broadcasting can make.
    """
    reach = array.dtype.itemsize
    axes = zip(array.shape, array.strides, strict=True)
    for step, length in sorted((abs(s), n) for n, s in axes if n > 1):
        if step < reach:
            return array.size > 0
        reach += step * (length - 1)
    return False


class _Ghost:
    """An array that is only an address: NumPy compares it, and nobody reads it."""

    def __init__(self, m: Memory) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (m.address, False),
            "shape": m.shape,
            "strides": m.strides,
            "typestr": m.dtype.str,
        }


def share_memory(a: Memory, b: Memory) -> bool:
    """Whether two arrays have a byte in common; interleaved views do not."""
    (low_a, high_a), (low_b, high_b) = a.bounds, b.bounds
    if a.device != b.device or high_a <= low_b or high_b <= low_a:
        return False
    try:
        return np.shares_memory(np.asarray(_Ghost(a)), np.asarray(_Ghost(b)), max_work=10**6)  # pyright: ignore
    except np.exceptions.TooHardError:
        return True


def first_overlap(
    written: Iterable[tuple[Any, Memory]], read: Iterable[tuple[Any, Memory]] = ()
) -> tuple[Any, Any] | None:
    """The labels of two arrays that share memory, at least one of them written; or None."""
    labelled = [(label, m, True) for label, m in written] + [(x, m, False) for x, m in read]
    labelled = [item for item in labelled if item[1].size]
    labelled.sort(key=lambda item: (item[1].device is not None, item[1].device, item[1].bounds))
    open_until: list[tuple[Any, Memory, bool]] = []
    for label, m, writes in labelled:
        low = m.bounds[0]
        open_until = [o for o in open_until if o[1].bounds[1] > low and o[1].device == m.device]
        for other, n, other_writes in open_until:
            if (writes or other_writes) and share_memory(m, n):
                return other, label
        open_until.append((label, m, writes))
    return None


class Intervals:
    """Byte ranges, merged and sorted, that can be asked whether they touch another."""

    def __init__(self, memories: Iterable[Memory]) -> None:
        merged: list[list[int]] = []
        for low, high in sorted(m.bounds for m in memories if m.size):
            if merged and low <= merged[-1][1]:
                merged[-1][1] = max(high, merged[-1][1])
            else:
                merged.append([low, high])
        self.table = np.array(merged, np.int64).reshape(-1, 2)  # first byte, one past the last

    def touch(self, memory: Memory) -> bool:
        """Whether `memory` reaches into one of the ranges."""
        low, high = memory.bounds
        k = int(np.searchsorted(self.table[:, 1], low, side="right"))
        return bool(high > low and k < len(self.table) and self.table[k, 0] < high)
