"""The limit on the CPU moves the bytes that it says, and changes none."""

import numpy as np
import pytest

from gpuopt.backends import numba as numba_backend
from gpuopt.bench import limits
from gpuopt.bench.traffic import Traffic, traffic
from tests.optional import optional

MIXES = {
    "SGD": traffic("SGD"),
    "Adam": traffic("Adam"),
    "Adam, bfloat16": traffic("Adam", "bfloat16"),
    "Adam, float64": traffic("Adam", "float64"),
    "nothing is only read": Traffic((4, 4), (4, 4)),
    "two are only read": Traffic((2, 4, 8), (2,)),
}
COUNT = 3 * numba_backend.LEAST + 5  # enough for several threads, and no whole share


def rubbish(mix: Traffic, count: int = COUNT) -> list[np.ndarray]:
    """Arrays of any bits: NaN, infinity and denormal numbers among them."""
    rng = np.random.default_rng(0)
    return [np.frombuffer(rng.bytes(count * w), f"u{w}").copy() for w in mix.reads]


@pytest.fixture(params=["numba", "numpy"])
def kind(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(limits.backends, "unavailable", lambda name: "not installed")
    return request.param


@pytest.mark.parametrize("mix", MIXES)
def test_no_element_changes(mix, kind):
    arrays = rubbish(MIXES[mix])
    before = [a.copy() for a in arrays]
    found = limits.limits(MIXES[mix], arrays)
    assert len(found) == (3 if kind == "numba" and limits.threads_for(COUNT) > 1 else 2), found
    assert f"limit, {MIXES[mix].name}" in found
    for run in found.values():
        run()
        for a, b in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("pieces", [1, 3])
def test_every_element_of_every_array_is_read_and_written(mix, pieces):
    """With a mask of ones in place of zeros, each written array is flipped by what is only read."""
    traffic, arrays = MIXES[mix], rubbish(MIXES[mix], 1000)
    before = [a.copy() for a in arrays]
    addresses = np.array([a.ctypes.data for a in arrays])
    limits.compiled(traffic).move(addresses, limits.cut(1000, -(-1000 // pieces)), -1)
    written = len(traffic.writes)
    value = np.full(1000, 2**64 - 1 if written == len(arrays) else 0, np.uint64)
    for a in before[written:]:
        value |= a
    for a, b in zip(arrays[:written], before, strict=False):
        np.testing.assert_array_equal(a, b ^ value.astype(a.dtype))
    for a, b in zip(arrays[written:], before[written:], strict=True):
        np.testing.assert_array_equal(a, b)


def test_arrays_of_the_step_itself_are_moved():
    """Floats, and bfloat16 by its bits."""
    p, m = np.ones(10, optional("ml_dtypes").bfloat16), np.ones(10, np.float32)
    for run in limits.limits(traffic("Adam", "bfloat16"), [p, m, m + 1, p + p]).values():
        run()
    assert (p == 1).all()
    assert (m == 1).all()


def test_arrays_with_gaps_are_refused():
    with pytest.raises(ValueError, match="needs arrays without gaps"):
        limits.limits(traffic("SGD"), [np.ones(8, "f4")[::2], np.ones(4, "f4")])


def test_arrays_for_a_step_that_has_none():
    found = limits.flat_arrays(MIXES["Adam, bfloat16"], 7)
    assert [(a.itemsize, a.shape) for a in found] == [(2, (7,)), (4, (7,)), (4, (7,)), (2, (7,))]
    assert limits.limits(MIXES["Adam, bfloat16"], found)


@pytest.mark.parametrize("total", [2, 10, 48, 160, 400])
def test_a_copy_moves_half_the_bytes_once_each_way(total, monkeypatch):
    monkeypatch.setattr(limits, "COPIED", 24)
    target, source, sizes = limits.buffers(total)
    assert sum(sizes) == total // 2
    assert max(sizes) <= target.size == source.size <= 24
    assert target.all(), "memory that was never written is one page of zeros"
    assert source.all(), "memory that was never written is one page of zeros"


def test_copies_copy(monkeypatch):
    target, source = np.zeros(1000, np.uint8), np.arange(1000).astype(np.uint8)
    monkeypatch.setattr(limits, "buffers", lambda total: (target, source, [1000]))
    limits.copy_by_numpy(2000)()
    np.testing.assert_array_equal(target, source)
    target[:] = 0
    for threads in (1, 3):
        limits.copy_by_numba(2000, threads)()
        np.testing.assert_array_equal(target, source)
        target[:] = 0


def test_as_many_threads_as_the_step():
    least = numba_backend.LEAST
    assert [limits.threads_for(n) for n in (0, 1, least, 2 * least - 1)] == [1] * 4
    assert limits.threads_for(10**9) == numba_backend.NumbaBackend().threads
    work = limits.cut(100_000, limits.share(100_000, 3))
    assert list(work) == [0, 33_344, 66_688, 100_000]
