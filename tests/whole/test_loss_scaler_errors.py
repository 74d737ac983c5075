"""What a `LossScaler` cannot be, and where it cannot be used."""

import math

import numpy as np
import pytest

import gpuopt

WRONG = [
    ({"init_scale": 0}, ValueError, "init_scale must be > 0"),
    ({"init_scale": math.inf}, ValueError, "init_scale must be finite"),
    ({"init_scale": 1e39}, ValueError, "init_scale must be from 1.175e-38 to 3.403e.38"),
    ({"init_scale": 1e-39}, ValueError, "init_scale must be from 1.175e-38"),
    ({"init_scale": "1"}, TypeError, "init_scale must be a number"),
    ({"growth_factor": 0.9}, ValueError, "growth_factor must be >= 1"),
    ({"growth_factor": math.nan}, ValueError, "growth_factor must be a number"),
    ({"backoff_factor": 0}, ValueError, "backoff_factor must be > 0"),
    ({"backoff_factor": 1.5}, ValueError, r"backoff_factor must be in \(0, 1\]"),
    ({"growth_interval": 0}, ValueError, "growth_interval must be from 1"),
    ({"growth_interval": 2**24}, ValueError, "growth_interval must be from 1 to 2.24 - 1"),
    ({"growth_interval": 2.0}, TypeError, "growth_interval must be a whole number"),
    ({"growth_interval": True}, TypeError, "growth_interval must be a whole number"),
]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=[str(x[0]) for x in WRONG])
def test_wrong_arguments(options, error, message):
    with pytest.raises(error, match=message):
        gpuopt.LossScaler(**options)


def test_a_wrong_state_changes_nothing():
    scaler = gpuopt.LossScaler(64.0)
    for wrong in (
        {"scale": 0, "streak": 1},
        {"scale": 2.0},
        {"scale": math.nan, "streak": 0},
        {"scale": 1e39, "streak": 0},
        {"scale": 2.0, "streak": -1},
        {"scale": 2.0, "streak": 1.5},
        {"scale": 2.0, "streak": True},
    ):
        with pytest.raises((ValueError, KeyError)):
            scaler.load_state_dict(wrong)
        assert scaler.state_dict() == {"scale": 64, "streak": 0}


def test_one_that_a_gpu_has_used_is_refused_on_the_cpu(cupy_stand_in):
    device, p, scaler = cupy_stand_in.ndarray, np.ones(3, "f4"), gpuopt.LossScaler(8.0)
    first = gpuopt.SGD(device(np.ones(3, "f4")), lr=0.5, backend="cupy")
    first.step(device(np.full(3, 8, "f4")), loss_scale=scaler)
    for name in ("numpy", "numba"):
        opt = gpuopt.SGD(p, lr=0.5, backend=name)
        with pytest.raises(ValueError, match="this LossScaler has been used on a GPU"):
            opt.step(np.full(3, np.inf, "f4"), loss_scale=scaler)
        assert opt.step_count == 0
    np.testing.assert_array_equal(p, 1)
    assert scaler.state_dict() == {"scale": 8, "streak": 1}
    scaler.load_state_dict(scaler.state_dict())  # takes it off the GPU
    opt.step(np.full(3, 8, "f4"), loss_scale=scaler)
    np.testing.assert_array_equal(p, 0.5)
    assert scaler.state_dict() == {"scale": 8, "streak": 2}


def test_one_that_a_gpu_has_taken_over_is_refused_where_it_was_used(cupy_stand_in):
    device, p, scaler = cupy_stand_in.ndarray, np.ones(3, "f4"), gpuopt.LossScaler(8.0)
    opt, g = gpuopt.SGD(p, lr=0.5, backend="numpy"), np.full(3, 8, "f4")
    opt.step(g, loss_scale=scaler)
    gpu = gpuopt.SGD(device(np.ones(3, "f4")), lr=0.5, backend="cupy")
    gpu.step(device(g), loss_scale=scaler)
    with pytest.raises(ValueError, match="this LossScaler has been used on a GPU"):
        opt.step(g, loss_scale=scaler)
    np.testing.assert_array_equal(p, 0.5)
    assert scaler.state_dict() == {"scale": 8, "streak": 2}


def test_one_that_another_device_has_used_is_refused(cupy_stand_in):
    """Each device would have a scale of its own."""
    device, scaler = cupy_stand_in.ndarray, gpuopt.LossScaler(8.0)
    params = [np.ones(3, "f4") for _ in range(3)]
    mine = [device(p, k) for p, k in zip(params, (0, 1, 1), strict=True)]
    grads = [device(np.full(3, 8, "f4"), k) for k in (0, 1, 1)]
    gpuopt.SGD(mine[0], lr=0.5, backend="cupy").step(grads[0], loss_scale=scaler)
    opt = gpuopt.SGD(mine[1], lr=0.5, backend="cupy")
    with pytest.raises(ValueError, match="LossScaler"):
        opt.step(grads[1], loss_scale=scaler)
    np.testing.assert_array_equal(params[1], 1)
    assert scaler.state_dict() == {"scale": 8, "streak": 1}
