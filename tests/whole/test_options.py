"""The arguments of `step`: what they may be, and errors before anything has changed."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.test_optimizer_atomic import snapshot

WRONG = [
    ({"max_norm": -1}, ValueError, "max_norm must be >= 0"),
    ({"max_norm": math.nan}, ValueError, "max_norm must be a number, got nan"),
    ({"max_norm": "1"}, TypeError, "max_norm must be a number"),
    ({"max_norm": np.ones(2)}, TypeError, "max_norm must be a number"),
    ({"max_norm": 1j}, TypeError, "max_norm must be a number"),
    ({"max_norm": True}, TypeError, "max_norm must be a number"),
    ({"max_norm": False}, TypeError, "max_norm must be a number"),
    ({"max_value": -1e-9}, ValueError, "max_value must be >= 0"),
    ({"max_value": math.nan}, ValueError, "max_value must be a number, got nan"),
    ({"max_value": [1.0]}, TypeError, "max_value must be a number"),
    ({"max_value": False}, TypeError, "max_value must be a number"),
    ({"loss_scale": 0}, ValueError, "loss_scale must be > 0"),
    ({"loss_scale": -2.0}, ValueError, "loss_scale must be > 0"),
    ({"loss_scale": math.inf}, ValueError, "loss_scale must be finite"),
    ({"loss_scale": math.nan}, ValueError, "loss_scale must be a number, got nan"),
    ({"loss_scale": "1"}, TypeError, "loss_scale must be a number"),
    ({"loss_scale": np.ones(1)}, TypeError, "loss_scale must be a number"),
    ({"loss_scale": True}, TypeError, "loss_scale must be a number"),
    ({"loss_scale": False}, TypeError, "loss_scale must be a number"),
    ({"skip_nonfinite": 1}, TypeError, "skip_nonfinite must be True or False"),
    ({"skip_nonfinite": 0}, TypeError, "skip_nonfinite must be True or False"),
    ({"skip_nonfinite": None}, TypeError, "skip_nonfinite must be True or False"),
    ({"zero_grads": "yes"}, TypeError, "zero_grads must be True or False"),
    ({"zero_grads": np.zeros(2, bool)}, TypeError, "zero_grads must be True or False"),
    ({"zero_grads": None}, TypeError, "zero_grads must be True or False"),
]


def make(backend, **options):
    params = [np.full(n, 2, "f4") for n in (3, 500)]
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Optimizer(mine, rules.AdamW(), lr=0.5, backend=backend.name, **options)
    return opt, params


def gradients(backend, value=4.0):
    return [backend.asarray(np.full(n, value, "f4")) for n in (3, 500)]


@pytest.mark.parametrize(("options", "error", "message"), WRONG, ids=[str(x[0]) for x in WRONG])
def test_wrong_ones_raise_before_anything_changes(options, error, message, backend):
    opt, params = make(backend)
    opt.step(gradients(backend), max_norm=math.inf)
    before = snapshot(opt, params, backend)
    for others in ({}, {"zero_grads": False, "max_norm": 1.0, **options}):
        with pytest.raises(error, match=message):
            opt.step(gradients(backend), **{**others, **options})
        np.testing.assert_equal(snapshot(opt, params, backend), before)
    assert opt.grad_norm == pytest.approx(4 * math.sqrt(503))


@pytest.mark.parametrize(
    "value", [4, 4.0, np.float32(4), np.float64(4), np.int64(4), np.array(4.0), np.array(4)]
)
def test_numbers_of_every_kind(value, backend):
    """m is a tenth of the gradient that the rule has seen."""
    for option, seen in (("loss_scale", 1.0), ("max_value", 4.0), ("max_norm", None)):
        opt, _ = make(backend)
        opt.step(gradients(backend, 4.0 if option != "max_value" else 9.0), **{option: value})
        if seen is None:
            seen = 4 / math.sqrt(503)
        m = backend.to_numpy(opt.state["1"]["m"])
        np.testing.assert_allclose(m, 0.1 * seen, rtol=1e-6)


def test_arrays_are_read_at_every_step(backend):
    """An array of one number is the same object when its number has changed."""
    for option in ("max_norm", "max_value", "loss_scale"):
        value = np.array(4.0)
        (opt, params), (other, expected) = make(backend), make(backend)
        for number in (4.0, 0.5, 2.0):
            value[...] = number
            opt.step(gradients(backend, 9.0), **{option: value})
            other.step(gradients(backend, 9.0), **{option: number})
            for k in ("0", "1"):
                m, expected_m = (backend.to_numpy(x.state[k]["m"]) for x in (opt, other))
                np.testing.assert_array_equal(m, expected_m)
        assert [p.tobytes() for p in params] == [p.tobytes() for p in expected]


def test_defaults_and_their_spelled_out_values_are_the_same(backend):
    opt, params = make(backend)
    other, expected = make(backend)
    opt.step(
        gradients(backend),
        max_norm=None,
        max_value=None,
        loss_scale=None,
        skip_nonfinite=False,
        zero_grads=np.bool_(False),
    )
    other.step(gradients(backend))
    assert [p.tobytes() for p in params] == [p.tobytes() for p in expected]


@pytest.mark.parametrize("value", [-0.1, 1.0, 2, math.nan, "0.9", np.ones(2)])
def test_a_wrong_average_raises_at_construction(value, backend):
    with pytest.raises((TypeError, ValueError), match="average must be"):
        make(backend, average=value)


def test_the_average_is_told_and_is_fixed(backend):
    assert make(backend)[0].average is None
    opt, _ = make(backend, average=np.float32(0.5))
    assert opt.average == 0.5
    with pytest.raises(AttributeError):
        opt.average = 0.9


# ---- a loss scale that lies on the device ----


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_device_scalar_as_loss_scale(shape, dtype, cupy_stand_in):
    device = cupy_stand_in.ndarray
    p, g = np.zeros(300, np.float32), np.full(300, 24, np.float32)
    opt = gpuopt.AdamW(device(p), backend="cupy")
    scale = np.full(shape, 8, dtype)
    for value, seen in ((8, 3.0), (4, 6.0)):
        scale[...] = value  # the device's own work may change it at any time
        before = opt.state["0"].get("m", device(np.zeros(300))).get()
        opt.step(device(g), loss_scale=device(scale), max_norm=math.inf)
        m = opt.state["0"]["m"].get()
        np.testing.assert_allclose(m, 0.9 * before + 0.1 * seen, rtol=1e-6)
        assert opt.grad_norm == pytest.approx(seen * math.sqrt(300))
    assert opt.step_count == 2


@pytest.mark.parametrize(
    "given", [np.ones(2, "f4"), np.ones(0, "f4"), np.ones((), "i4"), np.ones((), "c8")], ids=repr
)
def test_a_wrong_device_array_as_loss_scale(given, cupy_stand_in):
    device = cupy_stand_in.ndarray
    p = np.ones(3, np.float32)
    opt = gpuopt.AdamW(device(p), backend="cupy")
    with pytest.raises((TypeError, ValueError), match="loss_scale"):
        opt.step(device(np.ones(3, "f4")), loss_scale=device(given))
    np.testing.assert_array_equal(p, 1)
    assert opt.step_count == 0


def test_a_loss_scale_on_another_device(cupy_stand_in):
    device = cupy_stand_in.ndarray
    p, scale = np.ones(3, np.float32), np.full((), 2, np.float32)
    opt = gpuopt.AdamW(device(p, 1), backend="cupy")
    with pytest.raises(ValueError, match="loss_scale lies on device 0, the parameters on 1"):
        opt.step(device(np.ones(3, "f4"), 1), loss_scale=device(scale, 0))
    assert opt.step_count == 0
    opt.step(device(np.ones(3, "f4"), 1), loss_scale=device(scale, 1))
    assert opt.step_count == 1


@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
def test_a_device_scalar_for_parameters_in_cpu_memory(backend, cupy_stand_in):
    opt, params = make(backend)
    with pytest.raises(TypeError, match="loss_scale"):
        opt.step(gradients(backend), loss_scale=cupy_stand_in.ndarray(np.ones((), "f4")))
    assert all((p == 2).all() for p in params)


@pytest.mark.parametrize("name", ["lr", "weight_decay", "eps", "average"])
def test_a_flag_is_no_number(name):
    with pytest.raises(TypeError, match=rf"{name} must be a number, got True"):
        gpuopt.AdamW([np.ones(3)], **{name: True})
