"""The way through CuPy's pool, with a stand-in for CuPy whose pool is a model of it."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from gpuopt import memory
from gpuopt.memory.pool import Pool
from gpuopt.memory.preserve import reachable
from gpuopt.training.network import cost_and_gradients, initialise
from tests.memory import fake_cupy

MIB = 2**20


@pytest.fixture(scope="module")
def cupy():
    with fake_cupy.installed() as module:
        yield module


class Network:
    """A network on the GPU that is trained without a gpuopt optimizer."""

    def __init__(self, cupy, sizes=(20, 60, 40, 10), count=64):
        rng = np.random.default_rng(0)
        self.params = [cupy.asarray(p) for p in initialise(sizes, rng)]
        self.X = cupy.asarray(rng.standard_normal((sizes[0], count), np.float32))
        self.Y = cupy.asarray(rng.integers(0, sizes[-1], (1, count)))

    def step(self, X, Y):
        _, grads = cost_and_gradients(self.params, X, Y)
        for p, g in zip(self.params, grads, strict=True):
            p -= 0.01 * g

    def fit(self, **given):
        return memory.fit(self.step, self.X, self.Y, axis=1, **given)

    def real_peak(self, batch_size):
        """What two steps take from a pool that is empty but for the network and its data."""
        fake_cupy.pool.free_all_blocks()
        model = fake_cupy.pool.model
        before = model.peak_total = model.total
        index = np.arange(batch_size) % self.X.shape[1]
        for _ in range(2):
            batch = self.X[:, index], self.Y[:, index]
            self.step(*batch)
        return model.peak_total - before


@pytest.fixture(scope="module")
def network(cupy):
    return Network(cupy)


@pytest.fixture(scope="module")
def report(network):
    """Under a guard the largest batch, and half as many again."""
    first = network.fit(budget=8 * MIB, most=2**20)
    return network.fit(budget=8 * MIB, most=2**20, verify=[first.largest, first.largest * 3 // 2])


@pytest.mark.parametrize("batch_size", [1, 16, 37, 500, 4096])
def test_predictions_are_the_pool_s_own_peaks(report, network, batch_size):
    assert report.replay(batch_size, Pool()).bytes == network.real_peak(batch_size)


def test_the_report(report):
    assert (report.device, report.verdict, report.doubt) == ("cuda", "fits", None)
    assert report.predict(report.largest) <= 8 * MIB < report.predict(2 * report.largest)
    assert report.breakdown()["pool rounding"] > 0
    assert sum(report.breakdown().values()) == report.predicted
    assert [report.fits(report.largest + k) for k in (0, 1)] == [True, False]
    assert report.peak(64).block.where.endswith("in cost_and_gradients")


def test_the_guard(report):
    through, not_through = report.verified
    assert (through.passed, through.error) == (True, 0)
    assert not not_through.passed
    assert "Out of memory allocating" in not_through.reason
    assert not report.fits(not_through.batch_size)


def test_a_projected_use_that_fits_is_within_the_budget(network):
    """Where the pool must give back free blocks to go on, the projection is what it has then."""
    report = network.fit(most=2048)
    for batch_size in (300, 1000):
        alone = report.replay(batch_size, Pool()).bytes
        budget = next(b for b in range(alone // 2, alone + 1, 512) if fits(report, batch_size, b))
        report.budget = memory.Budget(budget, ())
        assert report.predict(batch_size) <= budget
        assert report.within(batch_size, 0.0)


def fits(report, batch_size, budget):
    report.budget = memory.Budget(budget, ())
    return report.within(batch_size, 0.0)


def test_nothing_is_changed(cupy, network):
    params, pool = [p.get() for p in network.params], fake_cupy.pool
    pool.free_all_blocks()
    pool.set_limit(size=10**8)
    before = pool.used_bytes(), pool.total_bytes(), pool.get_limit()
    try:
        report = network.fit(preserve=[network.params], verify=True)
        pool.free_all_blocks()
        assert (pool.used_bytes(), pool.total_bytes(), pool.get_limit()) == before
        assert report.budget.limits[0].name == "limit of CuPy's pool"
        assert not fake_cupy.hooks
        for p, start in zip(network.params, params, strict=True):
            np.testing.assert_array_equal(p.get(), start)
    finally:
        pool.set_limit(size=0)


def test_random_numbers_go_on_as_before(cupy, network):
    own, held = cupy.random.RandomState(3), fake_cupy.Generator(fake_cupy.BitGenerator(5))
    everyone = cupy.random.get_random_state()
    expected = [x.get() for x in drawn(*copy.deepcopy((everyone, own, held)))]

    def step(X, Y):
        drawn(everyone, own, SimpleNamespace(random=held.random))
        network.step(X, Y)

    memory.fit(step, network.X, network.Y, axis=1, budget=MIB)
    for found, numbers in zip(drawn(everyone, own, held), expected, strict=True):
        np.testing.assert_array_equal(found.get(), numbers)


def drawn(everyone, own, held):
    return everyone.random_sample(4), own.random_sample(4), held.random(4)


def test_what_raises_leaves_everything(cupy, network):
    own = cupy.random.RandomState(3)
    expected, params = copy.deepcopy(own).random_sample(4).get(), [p.get() for p in network.params]

    def step(X, Y):
        own.random_sample(3)
        network.step(X, Y)
        if X.shape[1] > 40:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        memory.fit(step, network.X, network.Y, axis=1, preserve=network.params)
    np.testing.assert_array_equal(own.random_sample(4).get(), expected)
    for p, start in zip(network.params, params, strict=True):
        np.testing.assert_array_equal(p.get(), start)
    assert not fake_cupy.hooks


def test_memory_of_other_libraries_is_missed(cupy, network, monkeypatch):
    others = 0
    runtime = cupy.cuda.runtime
    free = runtime.memGetInfo
    monkeypatch.setattr(runtime, "memGetInfo", lambda: (free()[0] - others, free()[1]))

    def step(X, Y):
        nonlocal others
        network.step(X, Y)
        others = max(others, X.shape[1] * 20_000)

    report = memory.fit(step, network.X, network.Y, axis=1, most=2048)
    assert report.verdict == "uncertain"
    assert "other libraries may take the rest" in report.doubt


def test_an_allocator_without_hooks(cupy, network, monkeypatch):
    other = SimpleNamespace(malloc=fake_cupy.MemoryPool().malloc)
    monkeypatch.setattr(cupy.cuda, "get_allocator", lambda: other.malloc)
    with pytest.raises(TypeError, match=r"only its default memory pool .*set_allocator"):
        network.fit()


def test_where_the_memory_is(cupy, network):
    """Data on the host, and a step that moves it; data in chunks."""
    host = np.zeros((20, 64), np.float32), np.zeros((1, 64), np.int64)

    def step(X, Y):
        network.step(cupy.asarray(X), cupy.asarray(Y))

    assert memory.fit(step, *host, axis=1, budget=MIB).device == "cuda"
    halves = [network.X[:, :32], network.X[:, 32:]]
    report = memory.fit(network.step, halves, network.Y, axis=1, budget=MIB)
    assert (report.device, report.verdict) == ("cuda", "fits")
    with pytest.raises(ValueError, match="isolate=True"):
        network.fit(isolate=True)
    assert network.X in reachable(network.fit)
