"""CuPy's pool once more, the plain way: lists, and a search through all of them."""

import itertools
from dataclasses import dataclass


@dataclass
class Block:
    size: int
    freed: int | None = None  # when; None: in use


class ReferencePool:
    """As gpuopt.memory.pool.Pool; handles are the blocks themselves."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.segments, self.clock = limit, list[list[Block]](), itertools.count()

    @property
    def total(self) -> int:
        return sum(block.size for segment in self.segments for block in segment)

    @property
    def used(self) -> int:
        return sum(b.size for segment in self.segments for b in segment if b.freed is None)

    def malloc(self, size: int) -> Block:
        size = (size + 511) // 512 * 512
        if size == 0:
            return Block(0)
        fitting = [
            (block.size, -block.freed, segment, at)
            for segment in self.segments
            for at, block in enumerate(segment)
            if block.freed is not None and block.size >= size
        ]
        if fitting:
            *_, segment, at = min(fitting, key=lambda found: found[:2])
            block = Block(size)
            rest = Block(segment[at].size - size, next(self.clock))
            segment[at : at + 1] = [block, rest] if rest.size else [block]
            return block
        if self.limit is not None and self.total + size > self.limit:
            self.free_all_blocks()
            if self.total + size > self.limit:
                raise MemoryError
        self.segments.append([Block(size)])
        return self.segments[-1][0]

    def free(self, block: Block) -> None:
        block.freed = next(self.clock)
        for segment in self.segments:
            groups = itertools.groupby(segment, lambda block: block.freed is None)
            segment[:] = [
                block
                for in_use, group in groups
                for block in (group if in_use else [joined(list(group))])
            ]

    def free_all_blocks(self) -> None:
        self.segments = [s for s in self.segments if any(block.freed is None for block in s)]


def joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    return Block(sum(b.size for b in blocks), max(b.freed for b in blocks if b.freed is not None))
