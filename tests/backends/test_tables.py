"""Chunk tables: every element in exactly one chunk, whatever the sizes."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import DENSE, chunks_of, shares, tables

SIZES = st.lists(st.integers(0, 500), min_size=1, max_size=20)


def covered(chunks, sizes):
    """The elements of every tensor, chunk by chunk in order; fails at an overlap or a gap."""
    at = dict.fromkeys(range(len(sizes)), 0)
    for tensor, start, count in chunks:
        assert count > 0
        assert start == at[tensor]
        at[tensor] += count
    return list(at.values())


@given(sizes=SIZES, length=st.integers(1, 64))
def test_chunks_of_a_length(sizes, length):
    chunks = chunks_of(sizes, length)
    assert covered(chunks, sizes) == sizes
    assert np.all(chunks[:, 2] <= length)
    assert np.all(chunks[:, 1] % length == 0)
    assert chunks.dtype == np.int64


@given(sizes=SIZES, workers=st.integers(1, 9), unit=st.integers(1, 64))
def test_shares_of_workers(sizes, workers, unit):
    chunks, bounds = shares(sizes, workers, unit)
    assert covered(chunks, sizes) == sizes
    assert bounds[0] == 0
    assert bounds[-1] == len(chunks)
    assert len(bounds) <= workers + 1
    work = [int(chunks[a:b, 2].sum()) for a, b in itertools.pairwise(bounds)]
    assert sum(work) == sum(sizes)
    if sum(sizes):
        assert all(w == work[0] and w % unit == 0 for w in work[:-1])
        assert 0 < work[-1] <= max(work[0], unit)


@pytest.mark.parametrize("n", [2**31 - 1, 2**31, 2**32 + 5, 2**40])
def test_more_elements_than_32_bits_count(n):
    chunks = chunks_of([3, n, 1], 2**20)
    assert chunks[:, 2].sum() == n + 4
    last = chunks[-2]
    assert (last[0], last[1] + last[2]) == (1, n)
    chunks, bounds = shares([3, n, 1], 7, 4096)
    assert chunks[:, 2].sum() == n + 4
    assert bounds[-1] == len(chunks)
    assert len(bounds) == 8


def test_the_columns_of_a_table():
    def m(address, shape, strides, dtype="f4"):
        return Memory(address, shape, strides, np.dtype(dtype))

    dense = [m(100, (2, 3), (12, 4)), m(200, (2, 3), (12, 4)), m(2**40, (2, 3), (12, 4))]
    crossed = [m(300, (2, 3), (12, 4)), m(400, (2, 3), (4, 8)), m(500, (2, 3), (12, 4))]
    halves = [m(600, (4,), (16,)), m(700, (4,), (-4,)), m(800, (4,), (4,))]
    found = tables([dense, crossed, halves], [0, 5, 1])
    np.testing.assert_array_equal(
        found.tensors,
        [[100, 200, 2**40, 0, DENSE], [300, 400, 500, 5, 0], [600, 700, 800, 1, 9]],
    )
    np.testing.assert_array_equal(found.layouts, [2, 2, 3, 3, 1, 1, 2, 3, 1, 1, 4, 4, -1, 1])
    np.testing.assert_array_equal(found.sizes, [6, 6, 4])


def test_complex_counts_as_two_reals():
    z = Memory(64, (5,), (8,), np.dtype("c8"))
    found = tables([[z, z]], [0])
    assert found.sizes.tolist() == [10]
    assert found.tensors.tolist() == [[64, 64, 0, DENSE]]
