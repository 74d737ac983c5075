"""A whole step on a GPU (norm, clipping, loss scale, skipping, zeroing, average) and NumPy's."""

from types import SimpleNamespace

import cupy
import numpy as np
import pytest

import gpuopt
from gpuopt import backends, rules
from tests.gpu.tools import LR, ULPS, largest_ulps, note, start, widen

STEPS, BAD = 5, 2  # in step BAD the last tensor has an infinity
SIZES = (5, 2049, 33, 70_001)
ALL = {"max_norm": 1.0, "max_value": 0.01, "skip_nonfinite": True, "zero_grads": True}
CASES = {
    "norm": {"max_norm": 1.0},
    "norm, infinity": {"max_norm": float("inf")},
    "value": {"max_value": 0.5},
    "zero": {"zero_grads": True},
    "scale": {"loss_scale": 256.0},
    "device scale": {"loss_scale": "array"},
    "skip": {"skip_nonfinite": True},
    "scaler": {"loss_scale": "scaler"},
    "all, number": {**ALL, "loss_scale": 256.0},
    "all, device scale": {**ALL, "loss_scale": "array"},
    "all, scaler": {**ALL, "loss_scale": "scaler"},
}


def options(case, on_gpu):
    made = dict(CASES[case])
    if made.get("loss_scale") == "array":
        made["loss_scale"] = cupy.asarray(np.float32([256.0])) if on_gpu else 256.0
    elif made.get("loss_scale") == "scaler":
        made["loss_scale"] = gpuopt.LossScaler(256.0, growth_interval=2)
    return made


def gradients(case):
    params, grads = start(rules.AdamW(), "float32", STEPS, SIZES)
    if "skip_nonfinite" in CASES[case] or CASES[case].get("loss_scale") == "scaler":
        grads[BAD][-1][-1] = np.inf
    return params, grads


def run(case, params, grads, backend, move):
    mine = [move(p) for p in params]
    rule = rules.AdamW(weight_decay=0.01)
    opt = gpuopt.Optimizer(mine, rule, lr=LR, average=0.9, backend=backend)
    made = options(case, backend != "numpy")
    result = SimpleNamespace(opt=opt, params=mine, norms=[], scales={}, given=[], options=made)
    for t in range(STEPS):
        given = [move(g) for g in grads[t]]
        opt.step(given, **made)
        result.norms.append(opt.grad_norm if "max_norm" in made else None)
        result.given.append(given)
        if backend == "numpy":
            widen(result)
    return result


@pytest.mark.parametrize("case", CASES)
def test_five_steps(gpu_backend, case):
    params, grads = gradients(case)
    theirs = run(case, params, grads, "numpy", np.array)
    ours = run(case, params, grads, gpu_backend, cupy.asarray)
    ulps = largest_ulps(ours, theirs)
    note("whole step", backend=gpu_backend, case=case, ulps=ulps)
    assert max(ulps.values()) <= ULPS, ulps
    assert ours.opt.step_count == theirs.opt.step_count
    assert ours.opt.param_steps == theirs.opt.param_steps
    for norm, expected in zip(ours.norms, theirs.norms, strict=True):
        assert norm == expected or norm == pytest.approx(expected, rel=1e-6)
    to_host = backends.load(gpu_backend).to_host
    for average, p in zip(ours.opt.averaged_params(), theirs.opt.averaged_params(), strict=True):
        np.testing.assert_allclose(to_host(average), p, rtol=1e-5, atol=1e-6)
    for t in range(STEPS):
        for g, before in zip(ours.given[t], grads[t], strict=True):
            expected = np.zeros_like(before) if "zero_grads" in ours.options else before
            assert cupy.asnumpy(g).tobytes() == expected.tobytes(), f"gradients after step {t}"
    if CASES[case].get("loss_scale") == "scaler":
        scaler, other = ours.options["loss_scale"], theirs.options["loss_scale"]
        assert scaler.state_dict() == other.state_dict()
        assert float(cupy.asnumpy(scaler.scale)) == other.scale


def test_a_skipped_step_changes_nothing_but_the_scale(gpu_backend):
    params, grads = start(rules.Adam(), "float32", 2, SIZES)
    mine = [cupy.asarray(p) for p in params]
    opt = gpuopt.Adam(mine, lr=0.1, average=0.5, backend=gpu_backend)
    scaler = gpuopt.LossScaler(8.0)
    opt.step([cupy.asarray(g) for g in grads[0]], loss_scale=scaler)
    to_host = backends.load(gpu_backend).to_host
    before = [to_host(a) for a in (*mine, *state(opt))]
    for bad in (np.inf, -np.inf, np.nan):
        grads[1][-1][-1] = bad
        opt.step([cupy.asarray(g) for g in grads[1]], loss_scale=scaler)
    after = [to_host(a) for a in (*mine, *state(opt))]
    assert [a.tobytes() for a in after] == [b.tobytes() for b in before]
    assert opt.step_count == 1
    assert scaler.state_dict() == {"scale": 1.0, "streak": 0}


def state(opt):
    return [array for buffers in opt.state.values() for array in buffers.values()]
