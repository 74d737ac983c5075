"""Every scheduler of PyTorch's drives gpuopt.torch as it drives torch.optim.

Warnings are errors here, so none finds that it was stepped before the optimizer.
"""

import inspect

import numpy as np
import pytest

from tests.optional import optional

torch = optional("torch")
optim = optional("gpuopt.torch")
schedulers = torch.optim.lr_scheduler

STEPS = 30
FACTORS = [lambda t: 0.95**t, lambda t: 1 / (1 + t)]  # one for each param_group


def sequential(opt):
    warm = schedulers.LinearLR(opt, start_factor=0.1, total_iters=5)
    return schedulers.SequentialLR(opt, [warm, schedulers.ExponentialLR(opt, 0.9)], [5])


def chained(opt):
    flat = schedulers.ConstantLR(opt, factor=0.1, total_iters=3)
    return schedulers.ChainedScheduler([flat, schedulers.ExponentialLR(opt, 0.9)])


MADE = {
    "LambdaLR": lambda opt: schedulers.LambdaLR(opt, FACTORS),
    "MultiplicativeLR": lambda opt: schedulers.MultiplicativeLR(opt, [lambda t: 0.9] * 2),
    "StepLR": lambda opt: schedulers.StepLR(opt, 7, gamma=0.5),
    "MultiStepLR": lambda opt: schedulers.MultiStepLR(opt, [4, 20], gamma=0.3),
    "ConstantLR": lambda opt: schedulers.ConstantLR(opt, factor=0.2, total_iters=9),
    "LinearLR": lambda opt: schedulers.LinearLR(opt, start_factor=0.1, total_iters=12),
    "ExponentialLR": lambda opt: schedulers.ExponentialLR(opt, 0.9),
    "SequentialLR": sequential,
    "CosineAnnealingLR": lambda opt: schedulers.CosineAnnealingLR(opt, T_max=25, eta_min=0.001),
    "ChainedScheduler": chained,
    "ReduceLROnPlateau": lambda opt: schedulers.ReduceLROnPlateau(opt, patience=2),
    "CyclicLR": lambda opt: schedulers.CyclicLR(opt, 0.01, 0.1, step_size_up=4),
    "CosineAnnealingWarmRestarts": lambda opt: schedulers.CosineAnnealingWarmRestarts(opt, 6, 2),
    "OneCycleLR": lambda opt: schedulers.OneCycleLR(opt, [0.1, 0.05], total_steps=STEPS + 1),
    "PolynomialLR": lambda opt: schedulers.PolynomialLR(opt, total_iters=20, power=2.0),
    "SWALR": lambda opt: torch.optim.swa_utils.SWALR(opt, swa_lr=0.01, anneal_epochs=8),
}
CYCLING = {"CyclicLR", "OneCycleLR"}  # which move momentum, or Adam's beta1, as well
CASES = [(name, "SGD", {"momentum": 0.9}) for name in MADE]
CASES += [(name, "Adam", {}) for name in sorted(CYCLING)]


def run(library, rule, scheduler, options, lr):
    """What was set at every step, and the parameters after each."""
    rng = torch.Generator().manual_seed(5)
    params = [torch.randn(33, generator=rng), torch.randn(4, 5, generator=rng)]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": lr(0.02), "weight_decay": 0.1}]
    opt = getattr(library, rule)(groups, lr=lr(0.05), **options)
    schedule = MADE[scheduler](opt)
    settings, values = [], []
    for t in range(STEPS):
        for p in params:
            p.grad = torch.randn(p.shape, generator=rng)
        opt.step()
        settings.append([numbers(group) for group in opt.param_groups])
        values.append(torch.cat([p.flatten() for p in params]).numpy().copy())
        schedule.step(*[max(0, 5 - t)] * (scheduler == "ReduceLROnPlateau"))
    return settings, np.array(values)


def numbers(group):
    return [float(group["lr"]), group.get("momentum"), group.get("betas")]


@pytest.mark.parametrize("lr", [float, torch.tensor], ids=["float", "tensor"])
@pytest.mark.parametrize(("scheduler", "rule", "options"), CASES)
@pytest.mark.usefixtures("by_numpy")
def test_it_drives_both_alike(scheduler, rule, options, lr):
    settings, values = run(optim, rule, scheduler, options, lr)
    expected, peer = run(torch.optim, rule, scheduler, options, lr)
    assert settings == expected
    assert len({str(row) for row in settings}) > 1  # the scheduler does something
    if scheduler in CYCLING:
        assert len({str([group[1:] for group in row]) for row in settings}) > 1
    # Some ten roundings a step on either side, of numbers around one.
    tolerance = 10 * STEPS * float(np.finfo(np.float32).eps)
    np.testing.assert_allclose(values, peer, rtol=tolerance, atol=tolerance)


def test_none_is_forgotten():
    base = schedulers.LRScheduler
    public = {
        name
        for name, value in vars(schedulers).items()
        if inspect.isclass(value) and issubclass(value, base) and not name.startswith("_")
    }
    assert public - {"LRScheduler"} == MADE.keys() - {"SWALR"}
