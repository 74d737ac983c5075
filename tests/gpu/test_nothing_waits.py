"""A step that is queued behind a long kernel returns to the host before that kernel ends."""

import time

import cupy
import numpy as np
import pytest

import gpuopt
from gpuopt.bench.spin import spin
from tests.gpu.tools import note

BUSY = 0.5  # seconds

STEPS = {
    "plain": {},
    "norm": {"max_norm": 1.0},
    "skip": {"skip_nonfinite": True},
    "scaler": {"loss_scale": "scaler"},
    "all": {
        "max_norm": 1.0,
        "max_value": 0.1,
        "loss_scale": "scaler",
        "skip_nonfinite": True,
        "zero_grads": True,
    },
}


def arrays(value, sizes=(1000, 70_001)):
    return [cupy.asarray(np.full(n, value, np.float32)) for n in sizes]


@pytest.mark.parametrize("new_gradients", [False, True], ids=["same arrays", "new arrays"])
@pytest.mark.parametrize("case", STEPS)
def test_step_returns_before_what_is_queued_ends(gpu_backend, case, new_gradients):
    options = dict(STEPS[case])
    if options.get("loss_scale") == "scaler":
        options["loss_scale"] = gpuopt.LossScaler(4.0)
    params, sets = arrays(1.0), [arrays(0.5), arrays(0.25)]
    opt = gpuopt.AdamW(params, lr=0.1, average=0.9, backend=gpu_backend)
    for grads in (*sets, *sets):
        opt.step(grads, **options)
    cupy.cuda.Device().synchronize()
    spin(1e-6)
    spin(BUSY)
    queued = cupy.cuda.Event()
    queued.record()
    begin = time.perf_counter()
    for k in range(3):
        opt.lr = 0.01 * (k + 1)
        opt.step(sets[k % 2 if new_gradients else 1], **options)
    seconds = time.perf_counter() - begin
    waited = queued.done
    cupy.cuda.Device().synchronize()
    note("three steps behind a kernel", backend=gpu_backend, case=case, seconds=seconds)
    assert not waited, f"three steps took {seconds:.3f} s, until the kernel before them had ended"
    assert opt.step_count == 7


def test_multiplying_by_the_scale_waits_for_nothing():
    scaler = gpuopt.LossScaler(4.0, growth_interval=1)
    opt = gpuopt.SGD(arrays(1.0), lr=0.1, backend="cupy")
    opt.step(arrays(0.5), loss_scale=scaler)
    loss = cupy.asarray(np.float32([3.0]))
    loss * scaler.scale
    cupy.cuda.Device().synchronize()
    spin(BUSY)
    queued = cupy.cuda.Event()
    queued.record()
    scaled = loss * scaler.scale
    waited = queued.done
    assert not waited
    assert cupy.asnumpy(scaled).tolist() == [24.0]
