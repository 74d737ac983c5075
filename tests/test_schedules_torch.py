"""Schedules that PyTorch has as well give its numbers."""

import pytest

from gpuopt import schedules
from tests.optional import optional

torch = optional("torch")


def pytorch_rates(name, count, **options):
    """The learning rates of the first `count` steps under a scheduler of PyTorch's."""
    opt = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    scheduler = getattr(torch.optim.lr_scheduler, name)(opt, **options)
    rates = []
    for _ in range(count - 1):
        rates.append(opt.param_groups[0]["lr"])
        opt.step()
        scheduler.step()
    return [*rates, opt.param_groups[0]["lr"]]


def near(rates):
    return pytest.approx(rates, rel=1e-12, abs=0)


@pytest.mark.parametrize(
    ("schedule", "name", "options"),
    [
        (schedules.staircase(0.3, 0.5, 4), "StepLR", {"step_size": 4, "gamma": 0.5}),
        (schedules.exponential(0.3, 0.9), "ExponentialLR", {"gamma": 0.9}),
        (
            schedules.piecewise([3, 8], [0.3, 0.03, 0.003]),
            "MultiStepLR",
            {"milestones": [3, 8], "gamma": 0.1},
        ),
        (
            schedules.linear(0.1, 0.3, 7),
            "LinearLR",
            {"start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 7},
        ),
        (
            schedules.cosine(0.3, 20, lr_min=0.01),
            "CosineAnnealingLR",
            {"T_max": 20, "eta_min": 0.01},
        ),
        (
            schedules.cosine_restarts(0.3, 3, mult=2, lr_min=0.01),
            "CosineAnnealingWarmRestarts",
            {"T_0": 3, "T_mult": 2, "eta_min": 0.01},
        ),
        (
            schedules.cosine_restarts(0.3, 7),
            "CosineAnnealingWarmRestarts",
            {"T_0": 7},
        ),
    ],
)
def test_pytorch_has_the_same_numbers(schedule, name, options):
    rates = pytorch_rates(name, 21, **options)
    assert [schedule(t) for t in range(21)] == near(rates)


def test_one_cycle_is_pytorch_s_from_the_peak_on():
    """PyTorch starts at the first step, t = 1 here, and so rises in one step less."""
    rates = pytorch_rates("OneCycleLR", 40, max_lr=0.3, total_steps=40)
    cycle = schedules.one_cycle(0.3, 40)
    assert [cycle(t) for t in range(12, 41)] == near(rates[11:])
    assert [cycle(0)] == near(rates[:1])
    rising = pytorch_rates("OneCycleLR", 13, max_lr=0.3, total_steps=41, pct_start=13 / 41)
    assert [cycle(t) for t in range(13)] == near(rising)
