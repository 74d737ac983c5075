"""Mini-batches on their way to the GPU: the same values, copied while the one before is in use."""

import cupy
import numpy as np

import gpuopt
from gpuopt.bench.spin import spin


def host_batches(count=12, rows=64):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((count * rows, 50), np.float32), np.arange(count * rows)
    return gpuopt.minibatches(X, Y, rows, shuffle=False)


def test_batches_are_equal_in_order_and_on_the_gpu():
    pairs = list(zip(gpuopt.prefetch(host_batches()), host_batches(), strict=True))
    assert len(pairs) == 12
    for (X, Y), (X_host, Y_host) in pairs:
        assert isinstance(X, cupy.ndarray)
        np.testing.assert_array_equal(cupy.asnumpy(X), X_host)
        np.testing.assert_array_equal(cupy.asnumpy(Y), Y_host)


def test_batches_used_behind_long_kernels_on_another_stream_are_equal():
    kept = []
    with cupy.cuda.Stream(non_blocking=True) as stream:
        for X, _ in gpuopt.prefetch(host_batches()):
            spin(0.005)
            kept.append(X.copy())
            del X
    stream.synchronize()
    for X, (X_host, _) in zip(kept, host_batches(), strict=True):
        np.testing.assert_array_equal(cupy.asnumpy(X), X_host)
