"""The same ten steps in gpuopt and in torch, with infinite gradients on the way: clip_grad_norm_,
clip_grad_value_, GradScaler, AdamW and AveragedModel."""

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.optional import optional

torch = optional("torch")

STEPS = 10
SHAPES = [(), (3,), (17, 5), (4, 8, 16), (1025,), (0,)]
OPTIONS = {"weight_decay": 0.02, "amsgrad": True, "maximize": True}
LR, DECAY, MAX_NORM, MAX_VALUE = 0.01, 0.8, 40.0, 2.0
TOLERANCE = 30 * STEPS * np.finfo(np.float32).eps  # as in tests/parity/test_parity_torch.py


def draw(rng, shape):
    return np.asarray(rng.normal(size=shape) + np.sign(rng.normal()) * 2, np.float32)


def close(mine, theirs):
    for p, q in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(p, q.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)


class Peer:
    """Torch's optimizer, scaler and averages over the same parameters."""

    def __init__(self, params, interval):
        self.params = [torch.nn.Parameter(torch.tensor(p)) for p in params]
        self.opt = torch.optim.AdamW(self.params, lr=LR, foreach=False, **OPTIONS)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=interval)
        self.scaler.scale(torch.tensor(1.0))  # makes its tensors
        self.model = torch.nn.ParameterList(self.params)
        average = torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY)
        self.averaged = torch.optim.swa_utils.AveragedModel(self.model, multi_avg_fn=average)
        self.first, self.taken = None, 0

    def step(self, grads):
        """The norm, and whether the step was taken."""
        for q, g in zip(self.params, grads, strict=True):
            q.grad = torch.tensor(g)
        self.scaler.unscale_(self.opt)
        norm = torch.nn.utils.clip_grad_norm_(self.params, MAX_NORM)
        torch.nn.utils.clip_grad_value_(self.params, MAX_VALUE)
        self.scaler.step(self.opt)
        self.scaler.update()
        taken = all(np.isfinite(g).all() for g in grads)
        if taken:
            self.averaged.update_parameters(self.model)
            self.first = self.first or [q.detach().clone() for q in self.params]
            self.taken += 1
        return float(norm), taken

    def averages(self):
        """Torch's average begins with p itself after the first step; ours counts that like others,
        and divides by the sum of the weights."""
        rest = DECAY**self.taken
        return [
            (a - rest * p) / (1 - rest)
            for a, p in zip(self.averaged.module, self.first, strict=True)
        ]


@pytest.mark.parametrize("interval", [1, 3])
def test_ten_steps_with_everything(interval, backend):
    rng = np.random.default_rng(3)
    params = [draw(rng, shape) for shape in SHAPES]
    peer, scaler = Peer(params, interval), gpuopt.LossScaler(8.0, growth_interval=interval)
    rule = rules.AdamW(**OPTIONS)
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Optimizer(mine, rule, lr=LR, average=DECAY, backend=backend.name)
    clipped = set()
    for t in range(STEPS):
        scale = float(peer.scaler.get_scale())
        assert scaler.state_dict()["scale"] == scale
        grads = [draw(rng, s) * np.float32(scale * (1 if t % 2 else 0.2)) for s in SHAPES]
        grads = [np.asarray(g, np.float32) for g in grads]
        if t in (0, 4, 5):
            grads[4][-1] = (np.inf, np.nan, -np.inf)[t % 3]
        norm, taken = peer.step(grads)
        opt.step(
            [backend.asarray(g) for g in grads],
            max_norm=MAX_NORM,
            max_value=MAX_VALUE,
            loss_scale=scaler,
            zero_grads=True,
        )
        assert all((g == 0).all() for g in grads)
        np.testing.assert_allclose(opt.grad_norm, norm, rtol=1e-6)
        clipped |= {norm > MAX_NORM} if taken else set()
    assert clipped == {True, False}
    assert opt.step_count == STEPS - 3
    close(params, peer.params)
    close([backend.to_numpy(a) for a in opt.averaged_params()], peer.averages())


@pytest.mark.parametrize("max_norm", [0.5, 40.0, 1e9])
def test_clipped_gradients_are_torchs(max_norm, backend):
    """After one step m is a tenth of the gradient that the rule has seen."""
    rng = np.random.default_rng(5)
    grads = [draw(rng, shape) for shape in SHAPES]
    theirs = [torch.nn.Parameter(torch.zeros(s)) for s in SHAPES]
    for q, g in zip(theirs, grads, strict=True):
        q.grad = torch.tensor(g)
    norm = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    mine = [backend.asarray(np.zeros_like(g)) for g in grads]
    opt = gpuopt.Optimizer(mine, rules.AdamW(), lr=LR, backend=backend.name)
    opt.step([backend.asarray(g) for g in grads], max_norm=max_norm)
    assert opt.grad_norm == pytest.approx(float(norm), rel=1e-6)
    for k, q in enumerate(theirs):
        m = backend.to_numpy(opt.state[str(k)]["m"])
        np.testing.assert_allclose(m * 10, q.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_norm_that_is_no_number_does_what_torchs_does(bad, backend):
    """clip_grad_norm_ multiplies by max_norm / inf = 0, or by NaN; nothing is skipped unasked."""
    grads = [np.ones(5, np.float32), np.array([1, bad, 2], np.float32)]
    theirs = [torch.nn.Parameter(torch.zeros(g.shape)) for g in grads]
    for q, g in zip(theirs, grads, strict=True):
        q.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    mine = [backend.asarray(np.zeros_like(g)) for g in grads]
    opt = gpuopt.Optimizer(mine, rules.AdamW(), lr=LR, backend=backend.name)
    opt.step([backend.asarray(g) for g in grads], max_norm=1.0)
    for k, q in enumerate(theirs):
        m = backend.to_numpy(opt.state[str(k)]["m"])
        np.testing.assert_array_equal(m, q.grad.numpy() * np.float32(0.1))
    np.testing.assert_array_equal(opt.grad_norm, bad)
