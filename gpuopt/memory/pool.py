"""What a sequence of allocations takes from a GPU: a model of CuPy's memory pool, in numbers only.

The rules of CuPy 13 and 14 (`SingleDeviceMemoryPool` in cupy/cuda/memory.pyx) for one stream:

- Sizes are rounded up to 512 bytes; size zero takes nothing.
- The smallest free chunk that is large enough is taken; the rest of it, however small, stays free.
  Without one, a new segment is taken from the device.
- A freed chunk merges with free neighbours in its segment. Segments stay with the pool. Where the
  device or the pool's limit has no room, those free as a whole go back, and it tries again.

Which of several free chunks of one size CuPy takes depends on the addresses of Python objects. Here
it is the one that became free last; `ties` counts such choices. Without any the model is exact.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Any, Protocol

UNIT = 512  # bytes


class PoolFull(MemoryError):
    """The pool may not take what it needs: CuPy raises its OutOfMemoryError."""


class AnyPool(Protocol):
    """What a model of a pool is to others."""

    @property
    def total(self) -> int: ...
    def malloc(self, size: int) -> "Chunk": ...
    def free(self, chunk: "Chunk") -> None: ...


PoolKind = Callable[[int | None], AnyPool]  # from its limit in bytes


class Chunk:
    """A part of a segment, in use or free: its size in bytes and its neighbours there.

    address: the number of its segment, and how many bytes of that come before it.
    """

    __slots__ = ("address", "after", "before", "free", "size")

    def __init__(self, size: int, address: tuple[int, int] = (0, 0)) -> None:
        self.size, self.free, self.address = size, False, address
        self.before: Chunk | None = None
        self.after: Chunk | None = None


class Pool:
    """A pool, empty at first, that may take `limit` bytes from the device; None: any number.

    `used` is the bytes in use, rounded, and `total` what has been taken from the device, in use or
    free; `peak_used` and `peak_total` are the most of each so far.
    """

    least_rest = 1  # bytes of a chunk that are left over for another; fewer belong to the first

    def __init__(self, limit: int | None = None) -> None:
        self.limit = math.inf if limit is None else limit
        self.used: int = 0
        self.total: int = 0
        self.peak_used = self.peak_total = self.ties = 0
        self._segments = 0  # so far
        self._sizes: list[int] = []  # of the free chunks: each once, ascending
        self._free: dict[int, dict[Chunk, None]] = {}  # by size, in the order they became free

    def malloc(self, size: int) -> Chunk:
        """A chunk for `size` bytes. Raises PoolFull where CuPy would run out of memory."""
        if size < 0:
            raise ValueError(f"size must be at least 0 bytes, got {size}")
        size = -(-size // UNIT) * UNIT
        if size == 0:
            return Chunk(0)
        at = bisect_left(self._sizes, size)
        if at == len(self._sizes):
            chunk = self._segment(self.segment_for(size))
        else:
            chunk = self._take(self.choose(self._free[self._sizes[at]]))
        if chunk.size - size >= self.least_rest:
            self._split(chunk, size)
        self.used += chunk.size
        self.peak_used = max(self.peak_used, self.used)
        return chunk

    def free(self, chunk: Chunk) -> None:
        """Take back a chunk that `malloc` gave."""
        if chunk.free:
            raise ValueError("the chunk is free already")
        self.used -= chunk.size
        if chunk.after and chunk.after.free:
            self._merge(chunk, self._take(chunk.after))
        if chunk.before and chunk.before.free:
            chunk = self._merge(self._take(chunk.before), chunk)
        if chunk.size:
            self._give(chunk)

    def free_all_blocks(self) -> None:
        """Give the device what it can have back: the segments that are free as a whole."""
        for chunk in [chunk for same in self._free.values() for chunk in same]:
            if not (chunk.before or chunk.after):
                self.total -= self._take(chunk).size

    def segment_for(self, size: int) -> int:
        """How large a segment is taken for a chunk."""
        return size

    def choose(self, same: dict[Chunk, None]) -> Chunk:
        """One of several free chunks of one size, in the order in which they became free."""
        self.ties += len(same) > 1
        return next(reversed(same))

    @property
    def whole(self) -> Any:
        """The pool whose limit counts, and whose free segments can go back."""
        return self

    def _segment(self, size: int) -> Chunk:
        whole = self.whole
        if whole.total + size > whole.limit:
            whole.free_all_blocks()
            if whole.total + size > whole.limit:
                taken = f"{whole.total} of {whole.limit} are taken"
                raise PoolFull(f"{size} bytes do not fit: {taken}")
        self.total += size
        self.peak_total = max(self.peak_total, self.total)
        self._segments += 1
        return Chunk(size, (self._segments, 0))

    def _split(self, chunk: Chunk, size: int) -> None:
        segment, offset = chunk.address
        rest = Chunk(chunk.size - size, (segment, offset + size))
        rest.before, rest.after, chunk.after, chunk.size = chunk, chunk.after, rest, size
        if rest.after:
            rest.after.before = rest
        self._give(rest)

    def _merge(self, chunk: Chunk, after: Chunk) -> Chunk:
        after.free = True  # it is no more; to free it again is a mistake
        chunk.size, chunk.after = chunk.size + after.size, after.after
        if chunk.after:
            chunk.after.before = chunk
        return chunk

    def _give(self, chunk: Chunk) -> None:
        chunk.free = True
        if chunk.size not in self._free:
            insort(self._sizes, chunk.size)
        self._free.setdefault(chunk.size, {})[chunk] = None

    def _take(self, chunk: Chunk) -> Chunk:
        chunk.free = False
        del self._free[chunk.size][chunk]
        if not self._free[chunk.size]:
            del self._free[chunk.size]
            del self._sizes[bisect_left(self._sizes, chunk.size)]
        return chunk
