"""How work is cut: pure functions of sizes, tried far past 2^31 elements without allocating."""

import itertools

import numpy as np
import pytest

from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import DENSE, chunks_of, cut, shares, tables
from gpuopt.kernels.launch import BLOCK, LONGEST, SHORTEST, chunk_length, flight, grid, resident

F4 = np.dtype("f4")
HUGE = [
    [2**31 - 1],
    [2**31],
    [2**31 + 1],
    [3, 2**32 + 5, 0, 2**31, 1],
    [2**36 + 1],
    [0, 2**33, 2**33],
]


def covered(chunks, sizes):
    """Whether chunks cover every element of every tensor once, in order."""
    for k, size in enumerate(sizes):
        own = chunks[chunks[:, 0] == k]
        ends = own[:, 1] + own[:, 2]
        begins_right = own[:, 1].tolist() == [0, *ends[:-1].tolist()][: len(own)]
        if not begins_right or (ends[-1] if len(own) else 0) != size:
            return False
    return bool((chunks[:, 2] > 0).all())


@pytest.mark.parametrize("sizes", HUGE)
@pytest.mark.parametrize("length", [LONGEST, 2**20 - 1])
def test_chunks_of_huge_tensors(sizes, length):
    chunks = chunks_of(np.array(sizes), length)
    assert chunks.dtype == np.int64
    assert covered(chunks, sizes)
    assert chunks[:, 2].max() <= length
    assert (chunks[:, 1] % length == 0).all()


@pytest.mark.parametrize("sizes", [[], [0], [0, 0], [1], [0, 1, 0], [SHORTEST], [SHORTEST + 1, 5]])
def test_chunks_of_small_and_empty_tensors(sizes):
    chunks = chunks_of(np.array(sizes, np.int64), SHORTEST)
    assert chunks.shape == (sum(-(-n // SHORTEST) for n in sizes), 3)
    assert covered(chunks, sizes)


@pytest.mark.parametrize("sizes", HUGE)
def test_cut_and_shares_of_huge_tensors(sizes):
    at = np.array([2**30, 2**31 - 1, 2**31, 2**32 + 1, 2**62])
    pieces = cut(np.array(sizes), at)
    assert covered(pieces, sizes)
    begins = np.cumsum([0, *sizes])[pieces[:, 0]] + pieces[:, 1]
    assert set(at[at < sum(sizes)].tolist()) <= set(begins.tolist())
    chunks, bounds = shares(np.array(sizes), workers=7, unit=4096)
    assert covered(chunks, sizes)
    assert bounds.tolist() == sorted(bounds.tolist())
    assert (bounds[0], bounds[-1]) == (0, len(chunks))
    work = [chunks[low:high, 2].sum() for low, high in itertools.pairwise(bounds)]
    assert max(work) - min(work) <= 7 * 4096


def test_tables_of_huge_tensors():
    rows, columns = 2**20, 2**13
    dense = Memory(2**46, (rows, columns), (4 * columns, 4), F4)
    turned = Memory(2**45, (rows, columns), (4, 4 * rows), F4)
    found = tables([[dense, dense], [dense, turned]], [0, 5])
    assert found.sizes.tolist() == [2**33] * 2
    assert found.tensors.tolist() == [[2**46, 2**46, 0, DENSE], [2**46, 2**45, 5, 0]]
    assert found.layouts.tolist() == [2, rows, columns, columns, 1, 1, rows]


@pytest.mark.parametrize("multiprocessors", [1, 40, 132])
@pytest.mark.parametrize("elements", [0, 1, 10**5, 10**8, 2**33 + 1])
def test_chunks_are_short_enough_to_share_and_keep_alignment(elements, multiprocessors):
    length = chunk_length(elements, multiprocessors)
    assert SHORTEST <= length <= LONGEST
    assert length & (length - 1) == 0
    chunks = -(-elements // length)
    blocks = grid(chunks, multiprocessors)
    assert blocks <= chunks
    if length > SHORTEST:
        assert chunks >= 4 * blocks


def test_a_thread_has_64_bytes_in_flight_at_least():
    assert [flight(16 * arrays) for arrays in range(1, 8)] == [4, 2, 2, 1, 1, 1, 1]
    assert flight(8 + 8) == 4  # two arrays of 16-bit storage, float32 arithmetic
    assert flight(8) == 8


# registers a thread, threads and registers of a multiprocessor: T4, RTX 3090, H200
@pytest.mark.parametrize(
    ("registers", "threads", "expected"),
    [
        (32, 2048, 8),
        (33, 2048, 6),
        (40, 2048, 6),
        (48, 2048, 5),
        (64, 2048, 4),
        (65, 2048, 3),
        (255, 2048, 1),
        (32, 1536, 6),
        (48, 1536, 5),
        (32, 1024, 4),
        (64, 1024, 4),
        (65, 1024, 3),
    ],
)
def test_resident_blocks(registers, threads, expected):
    assert resident(registers, threads, 65536) == expected


def test_a_device_of_few_registers_holds_one_block():
    assert resident(128, 1024, BLOCK) == 1


def test_the_grid_is_what_is_resident():
    assert grid(10**6, 132, resident(46, 2048, 65536)) == 132 * 5
    assert grid(10**6, 40, resident(46, 1024, 65536)) == 40 * 4
    assert grid(7, 132, 5) == 7
    assert grid(0, 132, 5) == 0
