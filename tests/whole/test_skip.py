"""`skip_nonfinite`: what is found, and that a skipped step changes nothing."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.optional import optional
from tests.parity.cases import SIZES

DTYPES = {
    "numpy": ["f2", "f4", "f8", "c8", "c16"],
    "numba": ["f4", "c8"],
    "cupy": ["f4", "f8", "c8", "c16"],
}


def bits(opt, params, backend):
    """Everything that a step may change, as bytes and numbers."""
    state = {
        (key, name): backend.to_numpy(array).tobytes()
        for key, buffers in opt.state.items()
        for name, array in buffers.items()
    }
    return [p.tobytes() for p in params], state, opt.step_count, opt.param_steps


def ones(backend, sizes, dtype, **options):
    params = [np.ones(n, dtype) for n in sizes]
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Optimizer(mine, rules.AdamW(), lr=0.5, backend=backend.name, **options)
    return opt, params


def gradients(sizes, dtype):
    rng = np.random.default_rng(2)
    return [rng.normal(size=n).astype(dtype) for n in sizes]


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, complex(0, np.inf), complex(np.nan, 0)])
def test_one_bad_element_is_found_in_every_dtype_and_place(bad, backend):
    for dtype in DTYPES[backend.name]:
        if isinstance(bad, complex) and dtype[0] != "c":
            continue
        sizes = (1, 7, 5000, 17)
        opt, params = ones(backend, sizes, dtype)
        before = bits(opt, params, backend)
        for tensor, element in ((3, -1), (0, 0), (2, 4097), (1, 6)):
            grads = gradients(sizes, dtype)
            grads[tensor][element] = bad
            opt.step([backend.asarray(g) for g in grads], skip_nonfinite=True)
            found = bits(opt, params, backend)
            assert found[0] == before[0]
            assert found[2:] == before[2:] == (0, dict.fromkeys("0123", 0))
        opt.step([backend.asarray(g) for g in gradients(sizes, dtype)], skip_nonfinite=True)
        assert opt.step_count == 1
        assert all((p != 1).all() for p in params)


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_skipped_step_changes_no_bit(average, backend):
    opt, params = ones(backend, SIZES, np.float32, average=average)
    last = max(k for k, n in enumerate(SIZES) if n)
    bad = gradients(SIZES, np.float32)
    bad[last][-1] = math.inf
    for _ in range(2):
        opt.step([backend.asarray(g) for g in gradients(SIZES, np.float32)])
    before = bits(opt, params, backend)
    saved = opt.state_dict()
    for options in ({"skip_nonfinite": True}, {"loss_scale": gpuopt.LossScaler(2.0)}):
        opt.step([backend.asarray(g) for g in bad], **options)
        assert bits(opt, params, backend) == before
    now = opt.state_dict()
    assert {k: v for k, v in now.items() if k != "state"} == {
        k: v for k, v in saved.items() if k != "state"
    }
    for key, entries in saved["state"].items():
        assert entries["step"] == now["state"][key]["step"] == 2


def test_steps_around_skipped_ones_are_those_without_them(backend):
    """Bit for bit: bias corrections and averages count on where they were."""
    sizes = (5, 300)
    (opt, params), (other, expected) = [ones(backend, sizes, "f4") for _ in range(2)]
    good = [backend.asarray(g) for g in gradients(sizes, "f4")]
    bad = [backend.asarray(np.full(n, np.nan, "f4")) for n in sizes]
    for grads in (bad, good, bad, bad, good, good, bad):
        opt.step(grads, skip_nonfinite=True)
        if grads is good:
            other.step(grads, skip_nonfinite=True)
    assert bits(opt, params, backend) == bits(other, expected, backend)
    assert opt.step_count == 3


@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
def test_a_schedule_waits_for_skipped_steps(backend):
    seen = []
    p = np.ones(3, np.float32)
    opt = gpuopt.AdamW(p, lr=lambda t: seen.append(t) or 0.1, backend=backend.name)
    for value in (1, np.inf, np.inf, 1):
        opt.step(np.full(3, value, "f4"), skip_nonfinite=True)
    assert sorted(set(seen)) == [1, 2]


def test_a_skipped_first_step_leaves_nothing_to_save(backend, tmp_path):
    opt, params = ones(backend, (4,), "f4", average=0.5)
    bad = [backend.asarray(np.full(4, np.inf, "f4"))]
    opt.step(bad, skip_nonfinite=True)
    assert opt.state_dict()["state"] == {"0": {"step": 0}}
    opt.save(tmp_path / "state")
    opt.load(tmp_path / "state")
    np.testing.assert_array_equal(backend.to_numpy(opt.averaged_params()[0]), 1)
    with opt.averages():
        np.testing.assert_array_equal(params[0], 1)
    opt.step([backend.asarray(np.ones(4, "f4"))], skip_nonfinite=True)
    average = backend.to_numpy(opt.averaged_params()[0])
    np.testing.assert_array_equal(average, params[0])  # the average of one value
    assert opt.step_count == 1


@pytest.mark.parametrize("rule", [rules.AdamW(), rules.NAdam()], ids=["AdamW", "NAdam"])
def test_a_parameter_whose_only_steps_were_skipped_has_no_state_to_save(rule, backend, tmp_path):
    """Neither buffers nor carried numbers, also where another parameter has taken a step."""
    safetensors = optional("safetensors")
    params = [np.ones(4, np.float32) for _ in range(2)]
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Optimizer(mine, rule, lr=0.5, average=0.5, backend=backend.name)
    good, bad = (backend.asarray(np.full(4, x, np.float32)) for x in (1, np.inf))
    for grads, taken in (([bad, bad], set()), ([good, None], {"0"}), ([None, bad], {"0"})):
        opt.step(grads, skip_nonfinite=True)
        saved = opt.state_dict()["state"]
        assert {key for key, entries in saved.items() if entries != {"step": 0}} == taken
        opt.save(tmp_path / "state")
        with safetensors.safe_open(tmp_path / "state", "numpy") as file:
            assert len(file.keys()) == len(taken) * len((*rule.state, "average"))
    other = gpuopt.Optimizer(mine, rule, lr=0.5, average=0.5, backend=backend.name)
    other.load(tmp_path / "state")
    assert other.param_steps == {"0": 1, "1": 0}
    assert opt.state_dict()["state"]["1"] == other.state_dict()["state"]["1"] == {"step": 0}


def test_averages_after_a_skipped_first_step(backend):
    opt, params = ones(backend, (4,), "f4", average=0.5)
    opt.step([backend.asarray(np.full(4, np.inf, "f4"))], skip_nonfinite=True)
    np.testing.assert_array_equal(backend.to_numpy(opt.averaged_params()[0]), 1)
    with opt.averages():
        np.testing.assert_array_equal(params[0], 1)


def test_without_being_asked_nothing_is_skipped(backend):
    opt, params = ones(backend, (4,), "f4")
    opt.step([backend.asarray(np.array([1, np.nan, 1, 1], "f4"))], max_norm=math.inf)
    np.testing.assert_array_equal(np.isnan(params[0]), [False, True, False, False])
    assert opt.step_count == 1
    assert math.isnan(opt.grad_norm)


def test_parameters_without_gradients_are_not_looked_at(backend):
    opt, _ = ones(backend, (4, 4), "f4")
    opt.step([backend.asarray(np.ones(4, "f4")), None], skip_nonfinite=True)
    assert opt.param_steps == {"0": 1, "1": 0}
    bad = backend.asarray(np.full(4, np.inf, "f4"))
    opt.step([None, bad], skip_nonfinite=True)
    assert opt.param_steps == {"0": 1, "1": 0}
    opt.step([None, None], skip_nonfinite=True)
    assert opt.param_steps == {"0": 1, "1": 0}
