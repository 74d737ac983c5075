"""The rules of PyTorch's caching allocator one by one, in numbers worked out by hand."""

import pytest

from gpuopt.memory.pool import PoolFull
from gpuopt.memory.pool_torch import TorchPool

MIB = 2**20


def taken(pool: TorchPool) -> tuple[int, int]:
    return pool.used, pool.total


@pytest.mark.parametrize(
    ("size", "used", "total"),
    [
        (0, 0, 0),
        (1, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (10 * MIB + 1, 10 * MIB + 512, 12 * MIB),
        (11 * MIB - 512, 11 * MIB - 512, 12 * MIB),
        (11 * MIB, 12 * MIB, 12 * MIB),  # a rest up to 1 MiB is not split off
    ],
)
def test_one_block(size, used, total):
    pool = TorchPool()
    block = pool.malloc(size)
    assert taken(pool) == (used, total)
    pool.free(block)
    assert taken(pool) == (0, total)
    pool.free_all_blocks()
    assert taken(pool) == (0, 0)
    assert (pool.peak_used, pool.peak_total) == (used, total)


def test_small_blocks_share_a_segment_and_large_ones_another():
    pool = TorchPool()
    for _ in range(4):
        pool.malloc(MIB // 2)
    assert taken(pool) == (2 * MIB, 2 * MIB)
    pool.malloc(1)
    assert taken(pool) == (2 * MIB + 512, 4 * MIB)
    pool.malloc(8 * MIB)
    pool.malloc(8 * MIB)
    assert taken(pool) == (18 * MIB + 512, 24 * MIB)
    pool.malloc(4 * MIB)  # of the third part of the 20 MiB
    assert taken(pool) == (22 * MIB + 512, 24 * MIB)
    pool.malloc(2 * MIB)
    assert taken(pool) == (24 * MIB + 512, 44 * MIB)


def test_free_neighbours_merge():
    pool = TorchPool()
    blocks = [pool.malloc(5 * MIB) for _ in range(4)]
    for k in (0, 2, 1):
        pool.free(blocks[k])
    pool.malloc(15 * MIB)
    assert taken(pool) == (20 * MIB, 20 * MIB)


def test_a_large_block_keeps_a_small_rest():
    pool = TorchPool()
    pool.free(pool.malloc(12 * MIB))
    pool.malloc(11 * MIB + 1)
    assert taken(pool) == (12 * MIB, 12 * MIB)
    assert pool.malloc(MIB + 1).size == MIB + 512  # of a segment of its own kind
    assert taken(pool) == (13 * MIB + 512, 32 * MIB)


def test_the_lowest_address_is_taken_among_equals():
    pool = TorchPool()
    blocks = [pool.malloc(MIB // 2) for _ in range(4)]
    pool.free(blocks[0])
    pool.free(blocks[2])
    assert pool.malloc(MIB // 2).address == blocks[0].address
    assert pool.ties == 0
    other = [pool.malloc(MIB // 2) for _ in range(2)]  # fills the first segment, begins a second
    pool.free(other[0])
    pool.free(pool.malloc(3 * MIB // 4))
    assert pool.ties == 0


def test_choices_between_segments_are_counted():
    pool = TorchPool()
    first, second = pool.malloc(10 * MIB), pool.malloc(10 * MIB)
    pool.free(second)
    pool.free(first)
    assert pool.malloc(10 * MIB) is first
    assert pool.ties == 1


def test_the_limit_counts_both_kinds_and_free_segments_go_back():
    pool = TorchPool(limit=22 * MIB)
    small, large = pool.malloc(1), pool.malloc(2 * MIB)
    assert taken(pool) == (512 + 2 * MIB, 22 * MIB)
    with pytest.raises(PoolFull, match=rf"^{20 * MIB} bytes do not fit: {22 * MIB} of {22 * MIB}"):
        pool.malloc(19 * MIB)
    pool.free(large)
    large = pool.malloc(20 * MIB)
    pool.free(large)
    pool.free(small)
    pool.malloc(22 * MIB)
    assert taken(pool) == (22 * MIB, 22 * MIB)


def test_mistakes_change_nothing():
    pool = TorchPool()
    block = pool.malloc(MIB)
    pool.free(block)
    with pytest.raises(ValueError, match="free already"):
        pool.free(block)
    with pytest.raises(ValueError, match="at least 0 bytes, got -1"):
        pool.malloc(-1)
    assert taken(pool) == (0, 2 * MIB)
