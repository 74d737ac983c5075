"""The rules of CuPy's pool one by one, in numbers worked out by hand."""

import pytest

from gpuopt.memory.pool import Pool, PoolFull


def taken(pool: Pool) -> tuple[int, int]:
    return pool.used, pool.total


@pytest.mark.parametrize(("size", "used"), [(0, 0), (1, 512), (512, 512), (513, 1024)])
def test_sizes_are_rounded_up_to_512_bytes(size, used):
    pool = Pool()
    chunk = pool.malloc(size)
    assert taken(pool) == (used, used)
    pool.free(chunk)
    assert taken(pool) == (0, used)


def test_the_rest_of_a_chunk_is_used_again():
    pool = Pool()
    pool.free(pool.malloc(4096))
    for used in (1024, 2048, 3072, 4096):
        pool.malloc(1024)
        assert taken(pool) == (used, 4096)
    pool.malloc(1024)
    assert taken(pool) == (5120, 5120)


def test_the_smallest_chunk_that_fits_is_taken():
    pool = Pool()
    for chunk in [pool.malloc(size) for size in (8192, 2048, 4096)]:
        pool.free(chunk)
    assert [chunk.size for chunk in (pool.malloc(2000), pool.malloc(4000))] == [2048, 4096]
    pool.malloc(8192)  # is still whole
    assert taken(pool) == (2048 + 4096 + 8192,) * 2


def test_neighbours_merge_and_segments_do_not():
    pool = Pool()
    pool.free(pool.malloc(3072))
    parts = [pool.malloc(1024) for _ in range(3)]
    other = pool.malloc(1024)  # of another segment
    for k in (0, 2, 1):  # the last one lies between two free ones
        pool.free(parts[k])
    pool.free(other)
    pool.malloc(3072)
    assert taken(pool) == (3072, 4096)
    pool.malloc(1536)
    assert taken(pool) == (4608, 5632)


def test_only_whole_segments_go_back():
    pool = Pool()
    pool.free(pool.malloc(2048))
    part = pool.malloc(512)
    pool.free(pool.malloc(4096))
    pool.free_all_blocks()
    assert taken(pool) == (512, 2048)
    pool.free(part)
    pool.free_all_blocks()
    assert taken(pool) == (0, 0)
    assert (pool.peak_used, pool.peak_total) == (4608, 6144)


def test_at_the_limit_free_segments_go_back_first():
    pool = Pool(limit=4096)
    kept, passing = pool.malloc(1024), pool.malloc(2048)
    pool.free(passing)
    pool.malloc(3072)
    assert taken(pool) == (4096, 4096)
    pool.free(kept)
    with pytest.raises(PoolFull, match=r"^1536 bytes do not fit: 3072 of 4096 are taken$"):
        pool.malloc(1536)
    assert taken(pool) == (3072, 3072)
    pool.malloc(1024)
    assert taken(pool) == (4096, 4096)


def test_what_just_fits_needs_no_room_made():
    pool = Pool(limit=4096)
    pool.free(pool.malloc(1024))
    pool.malloc(3072)
    assert taken(pool) == (3072, 4096)


def test_full_is_out_of_memory():
    with pytest.raises(MemoryError):
        Pool(limit=511).malloc(1)


def test_choices_among_chunks_of_one_size_are_counted():
    pool = Pool()
    one, other = pool.malloc(512), pool.malloc(512)
    pool.free(one)
    pool.free(other)
    assert pool.ties == 0
    assert pool.malloc(512) is other
    assert pool.ties == 1
    assert pool.malloc(512) is one
    assert pool.ties == 1


def test_mistakes_change_nothing():
    pool = Pool()
    pool.free(pool.malloc(1024))
    first, second = pool.malloc(512), pool.malloc(512)
    pool.free(first)
    pool.free(second)  # now a part of the first
    for chunk in (first, second):
        with pytest.raises(ValueError, match="free already"):
            pool.free(chunk)
    with pytest.raises(ValueError, match="at least 0 bytes, got -1"):
        pool.malloc(-1)
    assert taken(pool) == (0, 1024)
