"""In the steady state a step makes no plan and no memory, whatever backward passes hand it."""

import tracemalloc

import pytest

from tests.optional import optional
from tests.torch_adapter.beside import ours, parameters, torch, train

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
