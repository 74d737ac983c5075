from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuopt.memory.pool import Chunk, Pool, PoolFull
from tests.memory.pool_reference import ReferencePool
from tests.memory.traces import Trace, mlp_trace, random_trace

SIZES = st.one_of(st.integers(0, 3000), st.integers(0, 8).map(lambda n: 512 * n), st.just(10**6))
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("malloc"), SIZES),
        st.tuples(st.just("free"), st.integers(0, 10**6)),
        st.tuples(st.just("free_all_blocks"), st.none()),
    ),
    max_size=120,
)
LIMITS = st.one_of(st.none(), st.integers(0, 30_000))


def replay(pool, events):
    """Do the events; after each one gives what happened, "full" or not, and the live handles."""
    live = []
    for kind, number in events:
        outcome = kind
        if kind == "malloc":
            try:
                live.append((pool.malloc(number), number))
            except MemoryError:
                outcome = "full", number
        elif kind == "free" and live:
            pool.free(live.pop(number % len(live))[0])
        elif kind == "free_all_blocks":
            pool.free_all_blocks()
        yield outcome, live


def free_chunks(pool: Pool) -> list[Chunk]:
    return [chunk for same in pool._free.values() for chunk in same]


def segments(pool: Pool, live: list[Chunk]) -> list[list[Chunk]]:
    found = []
    for first in [c for c in (*live, *free_chunks(pool)) if c.size and c.before is None]:
        found.append([first])
        while (after := found[-1][-1].after) is not None:
            assert after.before is found[-1][-1]
            found[-1].append(after)
    return found


def rounded(size: int) -> int:
    return (size + 511) // 512 * 512


@given(EVENTS, LIMITS)
def test_chunks_fill_their_segments_and_the_numbers_are_theirs(events, limit):
    pool, peaks = Pool(limit), (0, 0)
    for _, live in replay(pool, events):
        chunks = [chunk for segment in segments(pool, [c for c, _ in live]) for chunk in segment]
        mine = [chunk for chunk, size in live if size]
        assert len({id(chunk) for chunk in chunks}) == len(chunks)  # none lies in two places
        assert {id(c) for c in chunks} == {id(c) for c in (*mine, *free_chunks(pool))}
        assert all(chunk.free is (chunk not in mine) for chunk in chunks)
        assert [chunk.size for chunk, _ in live] == [rounded(size) for _, size in live]
        assert pool.used == sum(rounded(size) for _, size in live)
        assert pool.total == sum(chunk.size for chunk in chunks) <= pool.limit
        assert pool._sizes == sorted({chunk.size for chunk in free_chunks(pool)})
        for segment in segments(pool, mine):
            assert not any(a.free and b.free for a, b in pairwise(segment))
        peaks = max(peaks[0], pool.used), max(peaks[1], pool.total)
        assert (pool.peak_used, pool.peak_total) == peaks


@given(EVENTS, LIMITS)
def test_it_is_full_only_when_nothing_fits(events, limit):
    pool = Pool(limit)
    for outcome, live in replay(pool, events):
        if outcome[0] == "full":
            size = rounded(outcome[1])
            assert all(chunk.size < size for chunk in free_chunks(pool))
            assert all(chunk.before or chunk.after for chunk in free_chunks(pool))
            chunks = [chunk for chunk, _ in live]
            held = sum(chunk.size for segment in segments(pool, chunks) for chunk in segment)
            assert held + size > pool.limit


@given(EVENTS, LIMITS)
def test_nothing_stays_behind(events, limit):
    pool = Pool(limit)
    *_, (_, live) = [("nothing", []), *replay(pool, events)]
    for chunk, _ in live:
        pool.free(chunk)
    assert pool.used == 0
    pool.free_all_blocks()
    assert pool.total == 0


@given(EVENTS, LIMITS)
def test_it_does_as_the_plain_reference_does(events, limit):
    pool, reference = Pool(limit), ReferencePool(limit)
    for (ours, _), (theirs, _) in zip(replay(pool, events), replay(reference, events), strict=True):
        assert ours == theirs
        assert (pool.used, pool.total) == (reference.used, reference.total)


def totals(trace: Trace, limit: int | None = None) -> tuple[int, int, Pool]:
    """The sum of `total` after every event, and how many allocations were refused."""
    pool, chunks, added, refused = Pool(limit), {}, 0, 0
    for name, size in trace:
        if size is None:
            if name in chunks:
                pool.free(chunks.pop(name))
        else:
            try:
                chunks[name] = pool.malloc(size)
            except PoolFull:
                refused += 1
        added += pool.total
    return added, refused, pool


@pytest.mark.parametrize(
    ("seed", "free_run", "limit", "limited"),
    [
        (0, 26_856_195_584, 89_360_384, (21_679_685_120, 0)),
        (1, 42_142_215_680, 188_994_764, (38_255_017_984, 3)),
        (3, 30_632_557_568, 125_272_473, (26_077_215_744, 1)),
        (4, 35_585_311_744, 126_615_552, (30_284_641_792, 1)),
        (5, 34_473_836_032, 144_562_176, (31_272_228_352, 3)),
    ],
)
def test_it_does_as_cupy_does(seed, free_run, limit, limited):
    """What the pool of CuPy 13.6.0, and that of 14.2.0, did with segments at made-up addresses."""
    trace = random_trace(np.random.default_rng(seed), 2**16)
    added, refused, pool = totals(trace)
    assert (added, refused, pool.ties) == (free_run, 0, 0)
    *found, pool = totals(trace, limit)
    assert (*found, pool.ties) == (*limited, 0)


@pytest.mark.parametrize(
    ("seed", "expected"),
    [(0, 29_162_233_856), (1, 81_193_576_448), (2, 59_260_203_008), (3, 43_792_831_488)],
)
def test_it_does_as_cupy_does_in_training(seed, expected):
    assert totals(mlp_trace(np.random.default_rng(seed)))[0] == expected


def test_fragmentation_of_training_steps():
    pools = [totals(mlp_trace(np.random.default_rng(seed)))[2] for seed in range(60)]
    ratios = [pool.peak_total / pool.peak_used for pool in pools]
    assert min(ratios) >= 1
    assert 1.03 < np.median(ratios) < 1.2
    assert max(ratios) < 1.5
