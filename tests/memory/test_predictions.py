"""Predicted against traced peaks, far beyond the probes."""

import pytest

import gpuopt
from gpuopt import memory
from tests.memory.networks import Network

SHAPES = [(784, 256, 128, 10), (64, 512, 512, 10), (200, 100, 10), (784, 10), (256, 1024, 256, 10)]
MAKERS = {"sgd": gpuopt.SGD, "adam": gpuopt.Adam}
BATCHES = (128, 256, 512, 1000, 2048)
WITHIN = 0.03


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
@pytest.mark.parametrize("rule", MAKERS)
def test_the_peak_is_within_3_percent(sizes, rule, dtype):
    def network():
        return Network(sizes, lambda p: MAKERS[rule](p, lr=0.01, backend="numpy"), dtype)

    network().traced_peak(8)  # loads and compiles what a first step does
    probed = network()
    report = memory.fit(probed.step, probed.X, probed.Y, axis=1, most=4096)
    errors = {}
    for batch_size in BATCHES:
        predicted = report.predict(batch_size) - report.seen.outside
        errors[batch_size] = predicted / network().traced_peak(batch_size) - 1
    assert all(abs(error) <= WITHIN for error in errors.values()), errors
