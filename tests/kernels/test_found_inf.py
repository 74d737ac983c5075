"""A step that another tells to skip: a number on the GPU that is not 0, as torch.amp has it."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt.options import Options
from tests.parity.formulas import nadam


@pytest.fixture
def device(cupy_stand_in):
    return cupy_stand_in.ndarray


def full(value=1.0, n=300):
    return np.full(n, value, np.float32)


def told(opt, value, **options):
    found = opt._backend.scalar(value, "found_inf")
    return Options(found_inf_array=found, **options)


def everything(opt, *arrays):
    buffers = [a.get() for state in opt.state.values() for a in state.values()]
    return [a.tobytes() for a in [*arrays, *buffers]], opt.param_steps, opt.step_count


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [0.5, 1.0, 2.0, math.inf])
@pytest.mark.parametrize("make", [gpuopt.AdamW, gpuopt.NAdam])
def test_a_skipped_step_leaves_everything(make, bad, dtype, device):
    p, q = full(), full(2, 5)
    found = np.zeros(1, dtype)
    opt = make([device(p), device(q)], lr=0.1, average=0.9, backend="cupy")
    options = told(opt, device(found))
    opt._stepper.step((device(full()), device(full(n=5))), options)
    before, product = everything(opt, p, q), opt.state_dict()["state"]["0"].get("mu_product")
    assert opt.step_count == 1
    found[:] = bad
    opt._stepper.step((device(full(math.nan)), device(full(n=5))), options)
    assert everything(opt, p, q) == before
    assert opt.state_dict()["state"]["0"].get("mu_product") == product
    found[:] = 0
    opt._stepper.step((device(full()), device(full(n=5))), options)
    assert opt.step_count == 2
    assert everything(opt, p, q)[0] != before[0]


def test_steps_go_on_as_if_the_skipped_had_not_been(device):
    p, found, scale = full(), np.zeros((), np.float32), np.full((), 4, np.float32)
    opt = gpuopt.NAdam(device(p), lr=0.01, weight_decay=0.1, backend="cupy")
    options = told(opt, device(found), scale_array=device(scale))
    expected, state, t = np.ones(300), {}, 0
    for skip in (0, 2, 0, 0, 0.5, 0):
        found[...] = skip
        opt._stepper.step((device(full(4 * 0.3)),), options)
        if not skip:
            t += 1
            expected = nadam(expected, np.float32(1.2).astype("f8") / 4, state, t, 0.01, opt.rule)
    np.testing.assert_allclose(p, expected, rtol=1e-6)
    assert opt.step_count == t == 4


def test_nothing_is_measured_and_nothing_waits(cupy_stand_in, device):
    opt = gpuopt.AdamW(device(full()), backend="cupy")
    options = told(opt, device(np.zeros(1, np.float32)))
    g = device(full())
    for _ in range(2):
        cupy_stand_in.events.clear()
        opt._stepper.step((g,), options)
    assert [event.kind for event in cupy_stand_in.events] == ["launch"] * 2  # control, sweep
    assert not options.measures
    assert options.on_device
    assert options.parts(None, True).skippable


def test_a_number_on_another_device_is_refused(cupy_stand_in, device):
    p = full()
    opt = gpuopt.AdamW(device(p), backend="cupy")
    with cupy_stand_in.cuda.Device(1):
        options = told(opt, device(np.zeros(1, np.float32)))
    with pytest.raises(ValueError, match="found_inf lies on device 1, the parameters on 0; use"):
        opt._stepper.step((device(full()),), options)
    assert (p == 1).all()
    assert opt.step_count == 0
