"""Predicted against traced peaks, far beyond the probes."""

import numpy as np
import pytest

import gpuopt
from gpuopt import memory
from tests.memory.networks import Network

BATCHES = (128, 256, 500, 1024, 2048)
WITHIN = 0.03


@pytest.mark.parametrize(
    ("sizes", "maker", "dtype"),
    [
        ((784, 64, 10), gpuopt.SGD, np.float32),
        ((200, 100, 10), gpuopt.Adam, np.float32),
        ((64, 256, 128, 10), gpuopt.Adam, np.float64),
        ((100, 200, 50, 10), gpuopt.Momentum, np.float32),
        ((784, 10), gpuopt.RMSprop, np.float64),
    ],
)
def test_the_peak_is_within_3_percent(sizes, maker, dtype):
    def network():
        return Network(sizes, lambda p: maker(p, lr=0.01, backend="numpy"), dtype)

    network().traced_peak(8)  # loads and compiles what a first step does
    probed = network()
    report = memory.fit(probed.step, probed.X, probed.Y, axis=1, most=4096, budget="1GiB")
    errors = {}
    for batch_size in BATCHES:
        predicted = report.predict(batch_size) - report.seen.outside
        errors[batch_size] = predicted / network().traced_peak(batch_size) - 1
    assert all(abs(error) <= WITHIN for error in errors.values()), errors
    assert report.doubt is None
