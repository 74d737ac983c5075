"""What a sequence of allocations takes from a GPU: a model of PyTorch's caching allocator.

The rules of PyTorch 2 for one stream and the allocator's own settings (c10/cuda/
CUDACachingAllocator.cpp; "CUDA semantics", section "Memory management", of its documentation):

- Sizes are rounded up to 512 bytes; size zero takes nothing.
- Up to 1 MiB a block lies in a segment of 2 MiB; larger ones in segments of 20 MiB, and from 10 MiB
  on in one of their own, rounded up to 2 MiB. The two kinds of segments share nothing.
- The smallest free block that is large enough is taken, at the lowest address among equals. Its
  rest stays free: of a small one from 512 bytes on, of a large one above 1 MiB. A smaller rest
  belongs to the block, and counts as in use.
- A freed block merges with free neighbours in its segment. Where there is no room for a new
  segment, those free as a whole go back to the device, and it tries again.

Segments are taken to lie in the order in which they came; `ties` counts choices that rest on it.
With `expandable_segments` PyTorch takes less than this model; `max_split_size_mb` and
`roundup_power2_divisions` are not modelled.
"""

import math

from gpuopt.memory.pool import Chunk, Pool

SMALL = 2**20  # bytes: the largest block of a small segment, and the largest rest left to a block
SMALL_SEGMENT, LARGE_SEGMENT, STEP = 2 * 2**20, 20 * 2**20, 2 * 2**20
OWN_SEGMENT = 10 * 2**20  # bytes from which a block has a segment of its own


class TorchPool:
    """As gpuopt.memory.pool.Pool. `used` counts the rests that belong to blocks, as
    torch.cuda.memory_allocated does; `total` is torch.cuda.memory_reserved."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = math.inf if limit is None else limit
        self.peak_used = self.peak_total = 0
        self.small: Pool = Arena(self, least_rest=1)
        self.large: Pool = Arena(self, least_rest=SMALL + 1)

    @property
    def used(self) -> int:
        return self.small.used + self.large.used

    @property
    def total(self) -> int:
        return self.small.total + self.large.total

    @property
    def ties(self) -> int:
        return self.small.ties + self.large.ties

    def malloc(self, size: int) -> Chunk:
        """A block for `size` bytes. Raises PoolFull where PyTorch would run out of memory."""
        chunk = self.arena(size).malloc(size)
        self.peak_used = max(self.peak_used, self.used)
        self.peak_total = max(self.peak_total, self.total)
        return chunk

    def free(self, chunk: Chunk) -> None:
        """Take back a block that `malloc` gave."""
        self.arena(chunk.size).free(chunk)

    def free_all_blocks(self) -> None:
        """Give the device what it can have back: torch.cuda.empty_cache."""
        self.small.free_all_blocks()
        self.large.free_all_blocks()

    def arena(self, size: int) -> Pool:
        """The segments for blocks of this size; a block is never smaller than what it is for."""
        return self.small if size <= SMALL else self.large


class Arena(Pool):
    """The small or the large segments of an allocator."""

    def __init__(self, owner: TorchPool, least_rest: int) -> None:
        super().__init__()
        self.owner, self.least_rest = owner, least_rest

    @property
    def whole(self) -> TorchPool:
        return self.owner

    def segment_for(self, size: int) -> int:
        if size <= SMALL:
            return SMALL_SEGMENT
        return LARGE_SEGMENT if size < OWN_SEGMENT else -(-size // STEP) * STEP

    def choose(self, same: dict[Chunk, None]) -> Chunk:
        first = min(same, key=lambda chunk: chunk.address)
        self.ties += any(chunk.address[0] != first.address[0] for chunk in same)
        return first
