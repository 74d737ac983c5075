"""`LossScaler`: the rules of torch.amp.GradScaler, on the CPU and on the stand-in for a GPU."""

import copy
import math

import numpy as np
import pytest

import gpuopt
from tests.optional import optional


class Model:
    """One small parameter, and steps whose gradient overflows or not."""

    def __init__(self, backend):
        self.backend, self.p = backend, np.ones(5, np.float32)
        self.opt = gpuopt.AdamW(backend.asarray(self.p), lr=0.1, backend=backend.name)

    def step(self, scaler, bad=False, **options):
        scale = scaler.state_dict()["scale"]
        g = np.full(5, math.inf if bad else scale, np.float32)  # of a loss of 1 p
        self.opt.step(self.backend.asarray(g), loss_scale=scaler, **options)


def sequence(seed, steps=40):
    return [bool(x) for x in np.random.default_rng(seed).random(steps) < 0.25]


@pytest.mark.parametrize(
    ("init", "growth", "backoff", "interval"),
    [(65536.0, 2.0, 0.5, 3), (8.0, 4.0, 0.25, 1), (1000.0, 1.3, 0.7, 2), (2.0, 1.5, 0.9, 1)],
)
def test_it_follows_torchs_grad_scaler(init, growth, backoff, interval, backend):
    torch = optional("torch")
    peer = torch.amp.GradScaler(
        "cpu",
        init_scale=init,
        growth_factor=growth,
        backoff_factor=backoff,
        growth_interval=interval,
    )
    peer.scale(torch.tensor(1.0))
    q = torch.nn.Parameter(torch.ones(5))
    theirs = torch.optim.AdamW([q], lr=0.1, foreach=False)
    scaler = gpuopt.LossScaler(init, growth, backoff, interval)
    model = Model(backend)
    for bad in sequence(interval):
        assert scaler.state_dict()["scale"] == pytest.approx(peer.get_scale(), rel=1e-6)
        assert scaler.state_dict()["streak"] == peer._get_growth_tracker()
        q.grad = torch.full((5,), math.inf if bad else peer.get_scale())
        peer.step(theirs)
        peer.update()
        model.step(scaler, bad)
    np.testing.assert_allclose(model.p, q.detach().numpy(), rtol=1e-5)
    assert model.opt.step_count == 40 - sum(sequence(interval))


def test_growth_stops_before_infinity(backend):
    scaler, model = gpuopt.LossScaler(2.0**126, growth_interval=1), Model(backend)
    for expected in (2.0**127, 2.0**127, 2.0**127):
        model.step(scaler)
        assert scaler.state_dict() == {"scale": expected, "streak": 0}
    model.step(scaler, bad=True)
    assert scaler.state_dict()["scale"] == 2.0**126


def test_backing_off_stops_before_zero(backend):
    """A loss times 0 has finite gradients, and 0 / 0 would be in the parameters."""
    tiny = 2.0**-126
    scaler, model = gpuopt.LossScaler(4 * tiny, growth_interval=1), Model(backend)
    for expected in (2 * tiny, tiny, tiny, tiny):
        model.step(scaler, bad=True)
        assert scaler.state_dict() == {"scale": expected, "streak": 0}
    model.step(scaler)
    assert scaler.state_dict()["scale"] == 2 * tiny
    assert np.isfinite(model.p).all()


def test_it_implies_skipping_and_unscales_the_norm(backend):
    scaler, model = gpuopt.LossScaler(1024.0), Model(backend)
    model.step(scaler, max_norm=math.inf)
    assert model.opt.grad_norm == pytest.approx(math.sqrt(5), rel=1e-6)
    before = model.p.tobytes()
    model.step(scaler, bad=True, max_norm=1.0, skip_nonfinite=False)
    assert model.p.tobytes() == before
    assert model.opt.grad_norm == math.inf
    assert model.opt.step_count == 1


def test_the_scale_is_where_the_loss_is(backend):
    scaler, model = gpuopt.LossScaler(64), Model(backend)
    assert scaler.scale == 64
    assert type(scaler.scale) is float
    model.step(scaler)
    model.step(scaler, bad=True)
    if backend.name == "cupy":
        assert scaler.scale.shape == ()
        assert scaler.scale.dtype == np.float32
        assert scaler.scale.get() == 32
    else:
        assert scaler.scale == 32


def test_one_for_two_optimizers(backend):
    scaler, first, second = gpuopt.LossScaler(64.0, growth_interval=3), *map(Model, 2 * [backend])
    for model, bad in ((first, False), (second, False), (first, True), (second, False)):
        model.step(scaler, bad)
    assert scaler.state_dict() == {"scale": 32, "streak": 1}
    for model in (first, second):
        model.step(scaler)
    assert scaler.state_dict() == {"scale": 64, "streak": 0}
    assert (first.opt.step_count, second.opt.step_count) == (2, 3)


@pytest.mark.parametrize("backend", ["numpy", "cupy"], indirect=True)
def test_a_step_of_several_launches_is_one_step(backend):
    """Two dtypes: both are unscaled by the scale from before the step, and it is updated once."""
    params = [np.ones(5, np.float32), np.ones(5, np.float64)]
    mine = [backend.asarray(p) for p in params]
    opt, scaler = gpuopt.SGD(mine, lr=0.5, backend=backend.name), gpuopt.LossScaler(8.0)
    scaler.growth_interval = 2
    for bad, after in ((False, (8, 1)), (False, (16, 0)), (True, (8, 0)), (False, (8, 1))):
        scale = scaler.state_dict()["scale"]
        grads = [np.full_like(p, scale) for p in params]
        grads[0][0] = np.inf if bad else scale
        opt.step([backend.asarray(g) for g in grads], loss_scale=scaler)
        assert tuple(scaler.state_dict().values()) == after
    assert all((p == 1 - 3 * 0.5).all() for p in params)


def test_state_dicts_resume(backend):
    scaler, model = gpuopt.LossScaler(64.0, growth_interval=3), Model(backend)
    for bad in (False, True, False, False):
        model.step(scaler, bad)
    saved = scaler.state_dict()
    assert saved == {"scale": 32.0, "streak": 2}
    assert all(type(x) in (float, int) for x in saved.values())
    other = gpuopt.LossScaler(growth_interval=3)
    Model(backend).step(other)  # it lies on the device already
    other.load_state_dict(saved)
    assert other.state_dict() == saved
    assert float(other.scale) == 32
    for x in (scaler, other):
        model.step(x)
        assert x.state_dict() == {"scale": 64, "streak": 0}


@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
def test_copies_go_their_own_way(backend):
    scaler, model = gpuopt.LossScaler(64.0), Model(backend)
    other = copy.deepcopy(scaler)
    model.step(scaler, bad=True)
    assert (scaler.scale, other.scale) == (32, 64)


def test_a_step_that_raises_updates_nothing(backend):
    scaler, model = gpuopt.LossScaler(64.0), Model(backend)
    for t in range(2):
        before = scaler.state_dict()
        with pytest.raises(ValueError, match="max_norm must be >= 0"):
            model.step(scaler, bad=True, max_norm=-1)
        wrong = backend.asarray(np.full(3, np.inf, "f4"))
        with pytest.raises(ValueError, match="has shape"):
            model.opt.step(wrong, loss_scale=scaler)
        assert scaler.state_dict() == before == {"scale": 64, "streak": t}
        model.step(scaler)
