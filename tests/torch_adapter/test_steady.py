"""In the steady state a step makes no plan and no memory, whatever backward passes hand it."""

import tracemalloc

import pytest

from tests.optional import optional
from tests.torch_adapter.beside import close, ours, parameters, torch, train

fused = optional("gpuopt.torch.fused")


@pytest.fixture
def bindings(monkeypatch):
    """All bindings made since."""
    made = []

    class Counted(fused.Binding):
        def __init__(self, opt):
            made.append(self)
            super().__init__(opt)

    monkeypatch.setattr(fused, "Binding", Counted)
    return made


def convolutions():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3)
    )


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("max_norm", [None, 0.1])
def test_real_backward_passes_need_one_plan(bindings, max_norm, channels_last):
    order = torch.channels_last if channels_last else torch.contiguous_format
    model = convolutions().to(memory_format=order)
    opt = ours.Adam(model.parameters(), lr=0.01, max_norm=max_norm)
    schedule = torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)
    kept = []
    for k in range(6):
        opt.zero_grad()
        model(torch.randn(2, 3, 9, 9).to(memory_format=order)).square().mean().backward()
        kept.append([p.grad for p in model.parameters()])  # so that none lies where another did
        opt.step()
        schedule.step()
        opt.state_dict()
        assert len(bindings) == 1, k


def test_another_plan_where_one_is_needed(bindings):
    """That the count above can tell."""
    params = parameters()
    opt = ours.Adam(params)
    train(opt, 2)
    params[0].data = params[0].data.clone()
    train(opt, 2)
    assert len(bindings) == 2
    opt.state[params[0]]["step"].fill_(9)
    train(opt, 2)
    assert len(bindings) == 3


def test_a_step_allocates_nothing_of_a_gradients_size():
    """Neither NumPy, which tracemalloc sees, nor PyTorch, whose operators its profiler sees."""
    opt = ours.Adam(parameters(shapes=[(300, 301), (1001,)]))
    train(opt, 2)
    tracemalloc.start()
    try:
        with torch.profiler.profile(profile_memory=True) as profile:
            opt.step()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1001 * 100  # bytes; a gradient has 361200
    assert all(abs(event.cpu_memory_usage) < 4000 for event in profile.events())


def test_gradients_that_are_missing_in_turns_need_no_other_binding(bindings):
    params, theirs = parameters(), parameters()
    opt, peer = ours.Adam(params, lr=0.1), torch.optim.Adam(theirs, lr=0.1)
    plans = set()
    for k, without in enumerate([(), (1, 2), (0,)] * 4):
        for n, (p, q) in enumerate(zip(params, theirs, strict=True)):
            g = torch.full_like(p, k - 2.5)
            p.grad, q.grad = (None, None) if n in without else (g, g)
        opt.step()
        peer.step()
        if k >= 6:
            plans.add(opt._binding.bounds[0].stepper.plan)
    close(params, theirs)
    assert len(bindings) == 1
    assert len(plans) == 1  # tensors without a gradient are left out


def test_a_gradient_of_another_layout_needs_no_other_binding(bindings):
    p, q = torch.zeros(4, 6, requires_grad=True), torch.zeros(4, 6, requires_grad=True)
    opt, peer = ours.SGD([p], lr=0.1), torch.optim.SGD([q], lr=0.1)
    whole = torch.arange(96.0)
    for g in (whole[:24].view(4, 6), whole[:24].view(6, 4).t(), whole.view(8, 12)[::2, ::2]):
        p.grad = q.grad = g
        opt.step()
        peer.step()
    close([p], [q])
    assert len(bindings) == 1


@pytest.mark.parametrize("change", ["new", "another", "gone"])
def test_state_that_is_touched_is_seen(change):
    """Also with the same number of entries."""
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 2)
    entries = opt.state[params[1]]
    other = torch.full_like(entries["exp_avg"], 7.0)
    if change == "new":
        entries["mine"] = other
    elif change == "another":
        entries["exp_avg"] = other
    else:
        del opt.state[params[1]]
    train(opt, 1)
    if change == "another":
        assert (other != 7.0).all()
    assert opt.state[params[1]]["step"] == (1 if change == "gone" else 3)


@pytest.mark.parametrize("kind", [list, tuple, set])
def test_parameters_in_another_container_need_one_binding(bindings, kind):
    params = parameters()
    opt = ours.SGD(params, lr=0.1)
    for _ in range(4):
        opt.param_groups[0]["params"] = kind(params)
        train(opt, 1)
    assert len(bindings) == 1
    opt.param_groups[0]["params"] = [params[0]]
    train(opt, 1)
    assert len(bindings) == 2
