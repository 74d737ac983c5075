"""Fitted events against sums by hand: lines, parabolas, and what is neither."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuopt.memory.events import GRADIENTS, INPUTS, REST
from gpuopt.memory.model import Model, as_one_block
from gpuopt.memory.pool import Pool, PoolFull
from tests.memory.handmade import model, peak, trace
from tests.memory.pool_reference import ReferencePool

BATCHES = st.integers(1, 10**6)


@st.composite
def steps(draw, degree):
    """Sizes as polynomials of the batch with natural coefficients, and events in a valid order."""
    count = draw(st.integers(1, 12))
    number = st.integers(0, 5000)
    powers = st.lists(st.tuples(*[number] * (degree + 1)), min_size=count, max_size=count)
    sizes = [
        lambda batch, c=c: sum(each * batch**k for k, each in enumerate(c)) for c in draw(powers)
    ]
    order, live = [], []
    for k in range(count):
        order.append(k)
        live.append(k)
        for _ in range(draw(st.integers(0, len(live)))):
            order.append(~live.pop(draw(st.integers(0, len(live) - 1))))
    return sizes, order


@given(steps(degree=1), BATCHES)
def test_the_peak_of_lines_is_exact(step, batch):
    sizes, order = step
    fitted = model(sizes, order)
    assert not fitted.bent.any()
    assert fitted.sizes(batch).tolist() == [size(batch) for size in sizes]
    assert fitted.peak(batch).bytes == peak(sizes, order, batch)


@given(steps(degree=2), st.integers(1, 50_000))
def test_the_peak_of_parabolas_is_exact(step, batch):
    sizes, order = step
    fitted = model(sizes, order)
    assert fitted.bent.any() == any(size(48) - 2 * size(32) + size(16) for size in sizes)
    assert fitted.confirm(trace(64, sizes, order))[0] == 0
    assert fitted.peak(batch).bytes == peak(sizes, order, batch)


def test_a_small_square_is_found_beside_large_lines():
    """B x B bits are no share of the peak at 48 examples, and all of it at 100,000."""
    sizes = [lambda b: 10**6 * b, lambda b: b * b // 8]
    fitted = model(sizes, [0, 1])
    assert fitted.bent.tolist() == [False, True]
    assert fitted.confirm(trace(64, sizes, [0, 1]))[0] == 0
    assert fitted.peak(10**5).bytes == 10**11 + 10**10 // 8


@given(steps(degree=1), st.integers(1, 5000))
def test_the_peak_in_a_pool_is_the_pool_s(step, batch):
    sizes, order = step
    pool, blocks, most = ReferencePool(), {}, 0
    for event in order:
        if event >= 0:
            blocks[event] = pool.malloc(sizes[event](batch))
        elif blocks[~event].size:
            pool.free(blocks[~event])
        most = max(most, pool.total)
    found = model(sizes, order).peak(batch, Pool())
    assert (found.bytes, sum(found.live.values())) == (most, found.in_use)


def test_a_pool_that_is_too_small():
    fitted = model([lambda b: 512 * b, lambda b: 512 * b], [0, 1])
    assert fitted.peak(10, Pool(10240)).bytes == 10240
    with pytest.raises(PoolFull):
        fitted.peak(10, Pool(10239))


def test_what_is_live_at_the_peak():
    sizes = [lambda b: 100 * b, lambda b: 5000, lambda b: 300 * b, lambda b: 10]
    fitted = model(sizes, [0, 1, ~1, 2, ~0, 3], roles=[INPUTS, REST, GRADIENTS, REST])
    small, large = fitted.peak(2), fitted.peak(1000)
    assert (small.bytes, small.block.where) == (5200, "net.py:1 in step")
    assert small.live == {INPUTS: 200, REST: 5000}
    assert (large.bytes, large.block.where) == (400_000, "net.py:2 in step")
    assert large.live == {INPUTS: 100_000, REST: 0, GRADIENTS: 300_000}


@pytest.mark.parametrize(
    "wild", [{16: 900, 32: 9000, 48: 3000, 64: 70}.get, lambda b: int(b**2.5) * 8]
)
def test_sizes_without_a_rule_are_named(wild):
    sizes = [lambda b: 1000 * b, wild]
    fitted = model(sizes, [0, 1])
    off, block = fitted.confirm(trace(64, sizes, [0, 1]))
    assert off > 0.01
    assert block.where == "net.py:1 in step"


def test_a_small_size_without_a_rule_is_taken_for_a_line():
    """How many elements a mask lets through is a matter of chance, and grows in the long run."""
    chance = {16: 900, 32: 1700, 48: 2650, 64: 3700}
    sizes = [lambda b: 100_000 * b, chance.__getitem__]
    fitted = model(sizes, [0, 1])
    assert fitted.confirm(trace(64, sizes, [0, 1]))[0] < 0.01
    assert fitted.sizes(10**5)[1] == 100 + 50 * 10**5


def test_no_blocks():
    empty = model([], [])
    assert empty.peak(1000).bytes == 0
    assert empty.peak(1000).block is None
    assert as_one_block(trace(16, [], [])).blocks[0].size == 0


@pytest.mark.parametrize("batch", [10**12, 10**18, 2**63])
def test_no_size_overflows(batch):
    fitted = model([lambda b: 10**4 * b, lambda b: b * b], [0, 1])
    assert fitted.peak(batch).bytes >= 2**48


def test_growth_from_step_to_step():
    """Steps that each make a block and keep it; the second frees the first one's other block."""
    sizes = [lambda b: 8 * b, lambda b: 70 * b, lambda b: 8 * b, lambda b: 70 * b]
    order = [0, 1, 2, 3, ~1, ~3]
    traces = [trace(b, sizes, order, steps=(2, 5)) for b in (16, 32, 48)]
    for each in traces:
        each.blocks[2].where, each.blocks[3].where = each.blocks[0].where, each.blocks[1].where
    assert Model(traces).growth(1000) == (8000, "net.py:0 in step")


def test_one_block_for_all():
    whole = as_one_block(trace(16, [lambda b: 10 * b, lambda b: 20 * b], [0, 1, ~0]))
    assert [block.size for block in whole.blocks] == [480]
    assert whole.blocks[0].where == "net.py:1 in step"
    assert Model([whole, as_one_block(trace(32, [lambda b: 30 * b], [0]))]).peak(64).bytes == 1920


def test_where_two_traces_part():
    sizes = [np.ones, np.ones, np.ones]
    ones = [lambda b: 1] * len(sizes)
    first = trace(16, ones, [0, 1, ~0, 2])
    assert first.difference(trace(32, ones, [0, 1, ~0, 2])) is None
    assert first.difference(trace(32, ones, [0, 1, ~1, 2])) == "net.py:0 in step"
    assert first.difference(trace(32, ones, [0, 1, ~0])) == "net.py:2 in step"
    other = trace(32, ones, [0, 1, ~0, 2])
    other.blocks[1].where = "net.py:9 in step"
    assert first.difference(other) == "net.py:1 in step"
