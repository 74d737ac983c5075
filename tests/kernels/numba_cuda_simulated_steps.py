"""Steps of the Numba CUDA backend in Numba's simulator: run by test_numba_cuda.py."""

import math
from typing import Any

import numpy as np
import pytest
from numba import cuda

import gpuopt
from gpuopt import rules
from gpuopt.backends import numba_cuda, numba_cuda_kernels
from tests.kernels.numba_cuda_pair import SILENT, Pair, Simulated, on_gpu

pytestmark = SILENT


@pytest.mark.parametrize("cls", rules.ALL)
def test_every_rule(cls):
    decay = {"weight_decay": 0.1} if "weight_decay" in cls.__dataclass_fields__ else {}
    pair = Pair(cls(**decay))
    pair.step(1, without=(0, 2))  # these join later
    pair.step(2)
    pair.step(3, without=(3,))
    pair.check()
    assert pair.opt.backend == "numba-cuda"


@pytest.mark.parametrize("dtype", ["float64", "complex64", "complex128"])
def test_every_dtype(dtype):
    pair = Pair(rules.AdamW(weight_decay=0.1), dtype, average=0.9)
    for seed in (1, 2):
        pair.step(seed, max_norm=1.0)
    pair.check()
    assert pair.opt.grad_norm == pytest.approx(pair.expected.grad_norm, rel=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"max_norm": 0.5},
        {"max_norm": math.inf, "loss_scale": 8.0},
        {"max_value": 0.4},
        {"skip_nonfinite": True, "max_norm": 1.0, "max_value": 0.4, "loss_scale": 2.0},
    ],
)
def test_step_options(options):
    pair = Pair(rules.Adam(), average=0.9)
    for seed in (1, 2):
        grads = pair.step(seed, zero_grads=True, **options)
        assert not any(g.any() for g in grads)
        if "max_norm" in options:
            assert pair.opt.grad_norm == pytest.approx(pair.expected.grad_norm, rel=1e-6)
    pair.check()


def test_a_step_that_is_skipped():
    pair = Pair(rules.Adam())
    pair.step(1, skip_nonfinite=True)
    before = [a.tobytes() for a in pair.device]
    for bad in (math.inf, math.nan):
        grads = pair.step(2, bad=bad, skip_nonfinite=True, zero_grads=True)
        assert not any(g.any() for g in grads)
    assert [a.tobytes() for a in pair.device] == before
    assert pair.opt.step_count == 1
    pair.step(3, skip_nonfinite=True)
    pair.step(4)  # the host takes over the counts, and a plan without skipping
    pair.check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loss_scale_on_the_device(dtype):
    p, q = np.ones(5, np.float32), np.ones(5, np.float32)
    g = np.full(5, 3, np.float32)
    opt = gpuopt.SGD([on_gpu(p)], lr=0.1, backend="numba-cuda")
    opt.step([on_gpu(g)], loss_scale=cuda.to_device(np.full(1, 4, dtype)))
    gpuopt.SGD([q], lr=0.1, backend="numpy").step([g], loss_scale=4.0)
    np.testing.assert_allclose(p, q, rtol=1e-6)
    for wrong in (np.ones(2, dtype), np.ones(1, "complex64")):
        with pytest.raises(ValueError, match="loss_scale must be a number, or an array of one"):
            opt.step([on_gpu(g)], loss_scale=on_gpu(wrong))


def test_a_loss_scaler():
    p, q = np.ones(5, np.float32), np.ones(5, np.float32)
    here, there = (gpuopt.LossScaler(8.0, growth_interval=2) for _ in range(2))
    opt = gpuopt.Adam([on_gpu(p)], lr=0.1, backend="numba-cuda")
    expected = gpuopt.Adam([q], lr=0.1, backend="numpy")
    for value in (1, 2, math.inf, 3, math.nan, 1):
        g = np.full(5, value, np.float32)
        opt.step([on_gpu(g)], loss_scale=here)
        expected.step([g], loss_scale=there)
        assert here.state_dict() == there.state_dict()
    np.testing.assert_allclose(p, q, rtol=1e-6)
    assert opt.step_count == expected.step_count == 4
    assert type(here.scale) is Simulated
    assert here.scale.shape == ()
    gpuopt.SGD([on_gpu(p)], lr=0.1, backend="numba-cuda").step(
        [on_gpu(p * 2)], loss_scale=here.scale
    )


def test_step_two_compiles_nothing_and_allocates_nothing(monkeypatch):
    pair = Pair(rules.Adam())
    given = {"max_norm": 1.0, "skip_nonfinite": True}
    pair.step(1, **given)

    def no(*args: Any, **kwargs: Any):
        raise AssertionError("the second step was not like the first")

    monkeypatch.setattr(numba_cuda_kernels, "import_source", no)
    for name in ("device_array", "to_device", "pinned_array", "event"):
        monkeypatch.setattr(cuda, name, no)
    pair.opt.lr = 0.01
    pair.expected.lr = 0.01
    for seed in (2, 3):
        pair.step(seed, **given)
    pair.check()


def test_the_same_gradient_arrays_are_read_again_and_others_are_noticed():
    p, g = np.zeros(3, np.float32), np.ones(3, np.float32)
    opt = gpuopt.SGD([on_gpu(p)], lr=1.0, backend="numba-cuda")
    same = [on_gpu(g)]
    for step in (1, 2, 3, 4):
        g[:] = step
        opt.step(same)
    opt.step([on_gpu(np.full(3, 5, np.float32))])
    assert p.tolist() == [-15] * 3


def test_a_kernel_compiles_before_a_step_changes_anything(monkeypatch):
    p = np.ones(5, np.float32)
    opt = gpuopt.Adam([on_gpu(p)], lr=0.1, backend="numba-cuda")

    def broken(*args: Any):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(numba_cuda_kernels, "import_source", broken)
    monkeypatch.setattr(numba_cuda, "compiled", numba_cuda_kernels.compiled.__wrapped__)
    with pytest.raises(RuntimeError, match="no compiler"):
        opt.step([on_gpu(p * 2)])
    assert (p == 1).all()
    assert opt.step_count == 0
    assert opt.state["0"] == {}
