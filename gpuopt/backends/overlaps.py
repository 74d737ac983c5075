"""Whether arrays share memory: checked among thousands, in n log n where they are views of one
array (columns of a matrix), without reading them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from gpuopt.backends.memory import Memory


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


class Piece(NamedTuple):
    """An array as a lattice of bytes: `size` bytes at `start`, repeated along `axes`, which are
    (stride, length), the longest stride first. `number` tells arrays apart."""

    number: int
    label: Any
    memory: Memory
    writes: bool
    start: int
    axes: tuple[tuple[int, int], ...]
    size: int

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.start + self.size + sum(stride * (n - 1) for stride, n in self.axes)

    @property
    def period(self) -> int:
        """The outermost stride, if what is repeated with it is no longer than it; else 0."""
        if not self.axes:
            return 0
        stride, length = self.axes[0]
        inner = self.end - self.start - stride * (length - 1)
        return stride if inner <= stride else 0


def piece(number: int, label: Any, memory: Memory, writes: bool) -> Piece:
    pairs = zip(memory.strides, memory.shape, strict=True)
    axes = sorted(((abs(stride), n) for stride, n in pairs if n > 1 and stride), reverse=True)
    low, _ = memory.bounds
    return Piece(number, label, memory, writes, low, tuple(axes), memory.dtype.itemsize)


def first_overlap(
    written: Iterable[tuple[Any, Memory]], read: Iterable[tuple[Any, Memory]] = ()
) -> tuple[Any, Any] | None:
    """The labels of two arrays that share memory, at least one of them written; or None."""
    once = {memory: label for label, memory in reversed([*read])}  # the same gradient for many
    labelled = [(label, m, True) for label, m in written]
    labelled += [(label, m, False) for m, label in once.items()]
    if lie_apart([memory for _, memory, _ in labelled]):
        return None
    by_device: dict[int | None, list[Piece]] = {}
    for number, (label, memory, writes) in enumerate(labelled):
        if memory.size:
            found = piece(number, label, memory, writes)
            by_device.setdefault(memory.device, []).append(found)
    for pieces in by_device.values():
        for cluster in clusters(pieces):
            pair = overlap_within(cluster)
            if pair:
                return pair
    return None


def lie_apart(memories: Sequence[Memory]) -> bool:
    """Whether no two ranges of bytes overlap. False for arrays on several devices."""
    if len({memory.device for memory in memories}) > 1:
        return False
    ranges = np.array([m.bounds for m in memories if m.size], np.int64).reshape(-1, 2)
    ranges = ranges[np.argsort(ranges[:, 0])]
    return bool(np.all(ranges[:-1, 1] <= ranges[1:, 0]))


def clusters(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Pieces whose ranges of bytes overlap, directly or through others, in the order in which they
    lie; those that overlap nothing are left out."""
    cluster: list[Piece] = []
    end = 0
    for one in sorted(pieces, key=lambda x: (x.start, x.number)):
        if cluster and one.start >= end:
            if len(cluster) > 1:
                yield cluster
            cluster = []
        end = max(end, one.end) if cluster else one.end
        cluster.append(one)
    if len(cluster) > 1:
        yield cluster


def overlap_within(cluster: list[Piece]) -> tuple[Any, Any] | None:
    """Two of these pieces that share memory, at least one of them written.

    Pieces with the same period are compared by where they lie in it: columns of a matrix lie beside
    each other there. What is left is compared pair by pair.
    """
    if not any(one.writes for one in cluster):
        return None
    families: dict[int, list[Piece]] = {}
    for one in cluster:
        families.setdefault(one.period, []).append(one)
    for period, family in families.items():
        if not period:
            pair = first_shared(combinations(family, 2))
        else:
            folded = [part for one in family for part in fold(one, period)]
            pair = next(filter(None, map(overlap_within, clusters(folded))), None)
        if pair:
            return pair
    across = combinations(families.values(), 2)
    return first_shared((a, b) for one, other in across for a in one for b in other)


def fold(one: Piece, period: int) -> list[Piece]:
    """A piece without its outermost axis, by where it lies in the period; in two places if it
    reaches into the next."""
    inner = one._replace(start=one.start % period, axes=one.axes[1:])
    return [inner] if inner.end <= period else [inner, inner._replace(start=inner.start - period)]


def first_shared(pairs: Iterable[tuple[Piece, Piece]]) -> tuple[Any, Any] | None:
    for a, b in pairs:
        different = a.number != b.number and (a.writes or b.writes)
        if different and share_memory(a.memory, b.memory):
            first, second = sorted((a, b), key=lambda x: x.memory.bounds)
            return first.label, second.label
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
