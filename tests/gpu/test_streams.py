"""A step runs on the caller's stream and device, in the order of that stream."""

import cupy
import numpy as np
import pytest

import gpuopt
from gpuopt.bench.spin import spin

STREAMS = {
    "null": lambda: cupy.cuda.Stream.null,
    "per thread": lambda: cupy.cuda.Stream.ptds,
    "blocking": lambda: cupy.cuda.Stream(),
    "non-blocking": lambda: cupy.cuda.Stream(non_blocking=True),
}
OPTIONS = {"plain": {}, "all": {"max_norm": 1e9, "skip_nonfinite": True, "zero_grads": False}}


def full(value, n=50_001):
    return cupy.asarray(np.full(n, value, np.float32))


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("kind", STREAMS)
def test_steps_come_after_what_wrote_the_gradients_on_the_same_stream(kind, case):
    p, g, new = full(1.0), full(0.0), full(1.0)
    opt = gpuopt.SGD(p, lr=0.125, backend="cupy")
    stream = STREAMS[kind]()
    cupy.cuda.Device().synchronize()
    with stream:
        opt.step(g, **OPTIONS[case])
        spin(0.1)
        g[...] = new  # if the step overtook this, p would not change
        opt.step(g, **OPTIONS[case])
        spin(0.05)
        opt.step(g, **OPTIONS[case])
    stream.synchronize()
    np.testing.assert_array_equal(cupy.asnumpy(p), np.float32(0.75))


def test_steps_on_two_streams_in_turn_with_events_between():
    p, grads = full(1.0), [full(0.5), full(0.25)]
    opt = gpuopt.SGD(p, lr=1.0, momentum=0.5, backend="cupy")
    expected = gpuopt.SGD(q := np.ones(50_001, np.float32), lr=1.0, momentum=0.5, backend="numpy")
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    cupy.cuda.Device().synchronize()
    for t in range(12):
        with streams[t % 2] as stream:
            spin(0.01)
            opt.step(grads[t % 2])
            done = stream.record()
        streams[1 - t % 2].wait_event(done)
        expected.step(cupy.asnumpy(grads[t % 2]))
    cupy.cuda.Device().synchronize()
    np.testing.assert_allclose(cupy.asnumpy(p), q, rtol=1e-6)


def test_parameters_on_two_gpus_share_one_norm_and_one_decision():
    count = cupy.cuda.runtime.getDeviceCount()
    if count < 2:
        pytest.skip(f"NOT TESTED: a second GPU; there is {count}")
    params, grads = [], []
    for device in (0, 1):
        with cupy.cuda.Device(device):
            params.append(full(1.0))
            grads.append(full(0.5))
    hosts = [np.ones(50_001, np.float32) for _ in params]
    ours = gpuopt.AdamW(params, lr=0.1, backend="cupy")
    theirs = gpuopt.AdamW(hosts, lr=0.1, backend="numpy")
    for _ in range(3):
        ours.step(grads, max_norm=1.0, skip_nonfinite=True)
        theirs.step([cupy.asnumpy(g) for g in grads], max_norm=1.0, skip_nonfinite=True)
    assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-6)
    for p, q in zip(params, hosts, strict=True):
        np.testing.assert_allclose(cupy.asnumpy(p), q, rtol=1e-6)
    with cupy.cuda.Device(1):
        grads[1][-1:] = np.inf
    before = [cupy.asnumpy(p) for p in params]
    ours.step(grads, max_norm=1.0, skip_nonfinite=True)
    assert all((cupy.asnumpy(p) == b).all() for p, b in zip(params, before, strict=True))
