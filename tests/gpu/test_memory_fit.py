"""The memory-fit check against CuPy's real pool: peaks, verdicts under a limit, nothing left."""

import cupy
import numpy as np
import pytest

import gpuopt
from gpuopt import memory
from gpuopt.training.network import cost_and_gradients, initialise
from tests.gpu.tools import note

SHAPES = [(784, 256, 128, 10), (64, 512, 512, 10), (200, 100, 10), (256, 1024, 256, 10)]
MAKERS = {"sgd": gpuopt.SGD, "adam": gpuopt.Adam}
WITHIN = 0.03


class Network:
    """A multilayer perceptron on the GPU with an optimizer, and data in columns."""

    def __init__(self, sizes, make, dtype):
        rng = np.random.default_rng(0)
        self.params = [cupy.asarray(p) for p in initialise(sizes, rng, dtype)]
        self.optimizer = make(self.params, lr=0.01)
        self.X = cupy.asarray(rng.standard_normal((sizes[0], 64)).astype(dtype))
        self.Y = cupy.asarray(rng.integers(0, sizes[-1], (1, 64)))

    def step(self, X, Y):
        self.optimizer.step(cost_and_gradients(self.params, X, Y)[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("rule", MAKERS)
def test_peaks_are_within_3_percent_and_runs_come_through(sizes, rule, dtype):
    network = Network(sizes, MAKERS[rule], np.dtype(dtype))
    batches = [256, 1024, 4096, 16384]
    report = memory.fit(
        network.step, network.X, network.Y, axis=1, most=16384, budget="4GiB", verify=batches
    )
    errors = {run.batch_size: run.error for run in report.verified}
    note("memory fit", network=str(sizes), rule=rule, dtype=dtype, errors=errors)
    assert all(run.passed for run in report.verified), report
    assert all(abs(error) <= WITHIN for error in errors.values()), errors


def test_what_fits_comes_through_and_what_does_not_runs_out(monkeypatch):
    # other tests run at the same time, and what they take would look like this step's
    monkeypatch.setattr("gpuopt.memory.places.Cuda.outside", lambda self: 0)
    network = Network((784, 512, 512, 10), gpuopt.Adam, np.dtype("float32"))
    pool = cupy.get_default_memory_pool()
    limit = pool.get_limit()
    for budget in ("48MiB", "160MiB", "400MiB"):
        found = memory.fit(network.step, network.X, network.Y, axis=1, most=2**20, budget=budget)
        sizes = [found.largest, int(1.3 * found.largest)]
        runs = memory.fit(
            network.step, network.X, network.Y, axis=1, most=2**20, budget=budget, verify=sizes
        ).verified
        note("memory fit verdicts", budget=budget, largest=found.largest, runs=list(map(str, runs)))
        assert [run.passed for run in runs] == [True, False]
        assert found.verdict_at(sizes[1]) == "does not fit"
    assert pool.get_limit() == limit


def test_probing_leaves_everything_bit_for_bit():
    network = Network((64, 32, 10), gpuopt.Adam, np.dtype("float32"))
    network.step(network.X, network.Y)
    before = [p.get() for p in network.params]
    state = {k: {n: a.get() for n, a in s.items()} for k, s in network.optimizer.state.items()}
    cupy.random.seed(3)
    expected = cupy.random.random(5).get()
    cupy.random.seed(3)

    def step(X, Y):
        network.step(X * cupy.random.random(X.shape, dtype=X.dtype), Y)

    memory.fit(step, network.X, network.Y, axis=1, most=512)
    np.testing.assert_array_equal(cupy.random.random(5).get(), expected)
    for p, was in zip(network.params, before, strict=True):
        np.testing.assert_array_equal(p.get(), was)
    assert network.optimizer.step_count == 1
    for key, buffers in network.optimizer.state.items():
        for name, array in buffers.items():
            np.testing.assert_array_equal(array.get(), state[key][name])
