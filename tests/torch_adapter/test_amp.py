"""Steps under torch.amp.GradScaler, and with gradients clipped by their global norm."""

import numpy as np
import pytest

from tests.optional import optional

torch = optional("torch")
optim = optional("gpuopt.torch")
clip = torch.nn.utils.clip_grad_norm_

STEPS = 12
OVERFLOWS = {0: float("inf"), 4: float("nan"), 5: -float("inf")}  # a gradient's value, by step
SETTINGS = {"lr": 0.05, "weight_decay": 0.1}


def start():
    rng = torch.Generator().manual_seed(4)
    return [torch.randn(s, generator=rng).requires_grad_() for s in ((257,), (5, 7), (3,))]


def scaled_gradients(scaler, params, t, overflow=None):
    """As backward leaves them, with an overflow in the last element of the last, if any."""
    rng = torch.Generator().manual_seed(100 + t)
    loss = sum((p * torch.randn(p.shape, generator=rng)).sum() + (p**2).sum() for p in params)
    for p in params:
        p.grad = None
    scaler.scale(loss).backward()
    if overflow is not None:
        params[-1].grad[-1] = overflow


def train(make, before_step=lambda scaler, opt, params: None):
    """Parameters after every step, the scales, and the steps that changed nothing."""
    params = start()
    opt = make(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=3)
    scales, skipped, values = [], [], []
    for t in range(STEPS):
        old = [p.detach().clone() for p in params]
        scaled_gradients(scaler, params, t, OVERFLOWS.get(t))
        before_step(scaler, opt, params)
        scaler.step(opt)
        scaler.update()
        scales.append(scaler.get_scale())
        if all(map(torch.equal, old, params)):
            skipped.append(t)
        values += [p.detach().clone() for p in params]
    counts = {float(opt.state[p]["step"]) for p in params}
    assert counts == {STEPS - len(OVERFLOWS)}
    return values, scales, skipped


def unscale(scaler, opt, params):
    scaler.unscale_(opt)


def unscale_and_clip(scaler, opt, params):
    scaler.unscale_(opt)
    clip(params, 2.0)


def same(found, expected):
    near(found[0], expected[0])
    assert found[1:] == expected[1:]
    assert found[2] == sorted(OVERFLOWS)


def near(found, expected):
    # Some twenty roundings a step on either side, of numbers around one.
    tolerance = 20 * STEPS * float(np.finfo(np.float32).eps)
    for a, b in zip(found, expected, strict=True):
        a, b = a.detach().numpy(), b.detach().numpy()
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def ours(params, **options):
    """Adam that takes the scale out and skips by itself."""
    return optim.Adam(params, **SETTINGS, fused=True, **options)


def plain(params, **options):
    """Adam for which GradScaler does so."""
    return optim.Adam(params, **SETTINGS, **options)


def theirs(params):
    return torch.optim.Adam(params, **SETTINGS, fused=True)


@pytest.fixture(params=["by_numpy", "compiled"])
def either(request):
    if request.param == "by_numpy":
        request.getfixturevalue("by_numpy")


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("make", [ours, plain])
def test_the_same_steps_are_skipped_as_by_pytorchs_fused_adam(make):
    same(train(make), train(theirs))


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("make", [ours, plain])
@pytest.mark.parametrize("before_step", [unscale, unscale_and_clip])
def test_gradients_unscaled_by_the_loop_are_not_unscaled_again(before_step, make):
    same(train(make, before_step), train(theirs, before_step))


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("make", [ours, plain])
def test_max_norm_with_a_scaler_is_unscaling_clipping_and_stepping(make):
    same(train(lambda params: make(params, max_norm=2.0)), train(theirs, unscale_and_clip))


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("make", [ours, plain])
def test_clipping_under_a_scaler_only_unscales_gradients_and_tells_their_norm(make):
    params = start()
    opt = make(params, max_norm=2.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
    scaled_gradients(scaler, params, 0)
    given = [p.grad.clone() for p in params]
    scaler.step(opt)
    for p, g in zip(params, given, strict=True):
        assert torch.equal(p.grad, g / 512)
    expected = torch.linalg.vector_norm(torch.cat([g.flatten() / 512 for g in given]))
    assert opt.grad_norm == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("scale", [None, 4.0])
@pytest.mark.parametrize("found", [1.0, 2.0, 0.5])
@pytest.mark.usefixtures("by_numpy")
def test_any_found_inf_but_zero_skips(found, scale):
    """GradScaler sums what it finds over devices. Without a scale, gradients are taken as given."""
    params, expected = start(), start()
    opt, peer = ours(params), torch.optim.Adam(expected, **SETTINGS)
    for t in range(3):
        for p, q in zip(params, expected, strict=True):
            q.grad = torch.full_like(q, t + 1.0)
            p.grad = q.grad * (scale or 1.0)
        opt.grad_scale = None if scale is None else torch.tensor(scale)
        opt.found_inf = torch.tensor(found if t == 1 else 0.0)
        opt.step()
        if t != 1:
            peer.step()
    near(params, expected)
    assert opt.state[params[0]]["step"] == 2


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("make", [ours, plain])
def test_a_skipped_step_changes_nothing(make):
    params = start()
    opt = make(params)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)

    def step(t, overflow=None):
        scaled_gradients(scaler, params, t, overflow)
        scaler.step(opt)
        scaler.update()

    step(0, float("inf"))
    assert len(opt.state) == 0
    assert opt.state_dict()["state"] == {}
    step(1)
    before = {(k, key): x.clone() for k, p in enumerate(params) for key, x in opt.state[p].items()}
    assert all(before[k, "step"] == 1 for k in range(len(params)))
    step(2, float("nan"))
    for k, p in enumerate(params):
        assert all(torch.equal(x, before[k, key]) for key, x in opt.state[p].items())


@pytest.mark.parametrize("max_norm", [2.0, 1e4])
@pytest.mark.usefixtures("either")
def test_max_norm_is_clip_grad_norm_before_the_step(max_norm):
    params, expected = start(), start()
    opt, peer = ours(params, max_norm=max_norm), torch.optim.Adam(expected, **SETTINGS)
    for t in range(STEPS):
        rng = torch.Generator().manual_seed(t)
        for p, q in zip(params, expected, strict=True):
            p.grad = 10 * torch.randn(p.shape, generator=rng)
            q.grad = p.grad.clone()
        given = [p.grad.clone() for p in params]
        norm = clip(expected, max_norm)
        opt.step()
        peer.step()
        assert opt.grad_norm == pytest.approx(float(norm), rel=1e-6)
        assert all(torch.equal(p.grad, g) for p, g in zip(params, given, strict=True))
    near(params, expected)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "NAdam"])
@pytest.mark.parametrize("options", [{}, {"fused": True}, {"fused": False}, {"foreach": True}])
def test_who_unscales_is_decided_as_by_torch(name, options):
    """Lightning refuses to clip in mixed precision where the optimizer does."""
    if "fused" in options and name in ("RMSprop", "NAdam"):
        with pytest.raises(TypeError, match="fused"):
            getattr(optim, name)(start(), **options)
        return
    made = [getattr(side, name)(start(), **options) for side in (optim, torch.optim)]
    flags = [getattr(opt, "_step_supports_amp_scaling", False) for opt in made]
    assert flags == [bool(options.get("fused"))] * 2


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("make", [ours, plain])
def test_hooks_of_a_skipped_step_are_called_where_torch_calls_them(make):
    """So `step_was_skipped` of accelerate is right, which wraps `step`."""
    fused = make is ours
    calls = []
    for make_one in (make, lambda ps: torch.optim.Adam(ps, **SETTINGS, fused=fused)):
        params, seen = start(), []
        opt = make_one(params)
        opt.register_step_pre_hook(lambda *a, seen=seen: seen.append("pre"))
        opt.register_step_post_hook(lambda *a, seen=seen: seen.append("post"))
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
        for t, overflow in enumerate((float("inf"), None)):
            scaled_gradients(scaler, params, t, overflow)
            scaler.step(opt)
            scaler.update()
        calls.append(seen)
    assert calls[0] == calls[1] == ["pre", "post"] * (2 if fused else 1)
