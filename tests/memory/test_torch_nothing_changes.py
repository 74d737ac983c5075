"""Probing leaves PyTorch's modules, optimizers, schedulers and random numbers bit for bit."""

import copy
import importlib

import pytest

from gpuopt import memory
from tests.memory.torch_networks import Training, nn, torch

RULES = {
    "adamw": (torch.optim.AdamW, {"amsgrad": True}),
    "sgd": (torch.optim.SGD, {"momentum": 0.9}),
    "tensor lr": (torch.optim.Adam, {"lr": torch.tensor(0.01)}),
}


class Everything:
    """A training with all that a step may change."""

    def __init__(self, rule, options):
        torch.manual_seed(1)
        self.net = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3)
        )
        self.optimizer = rule(self.net.parameters(), **{"lr": 0.01, "weight_decay": 0.1, **options})
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 50)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimizer, patience=0)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
        self.generator = torch.Generator().manual_seed(3)
        self.loose = torch.zeros(3, requires_grad=True)
        self.X, self.Y = torch.randn(64, 6), torch.randint(0, 3, (64,))

    def step(self, x, y):
        self.optimizer.zero_grad()
        noise = torch.randn(x.shape, generator=self.generator)
        loss = nn.functional.cross_entropy(self.net(x + noise) + self.loose, y)
        self.scaler.scale(loss).backward()
        with torch.no_grad():
            self.loose -= 0.1
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        self.plateau.step(1.0)
        self.net.calls = getattr(self.net, "calls", 0) + 1

    def values(self):
        """All that may change, as copies, and the objects that must stay the same."""
        params = [*self.net.parameters(), self.loose]
        state = self.optimizer.state
        found = {
            "net": self.net.state_dict(),
            "grads": [p.grad for p in params],
            "loose": self.loose.detach(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": without_functions(self.scheduler.state_dict()),
            "plateau": without_functions(self.plateau.state_dict()),
            "scaler": self.scaler.state_dict(),
            "random": [torch.get_rng_state(), self.generator.get_state()],
            "calls": getattr(self.net, "calls", None),
        }
        same = [id(p) for p in params] + [id(p.grad) for p in params]
        same += [id(a) for p in params if p in state for a in state[p].values()]
        return copy.deepcopy(found), same


def without_functions(state):
    return {k: v for k, v in state.items() if not callable(v)}


def assert_same(mine, theirs, path=""):
    assert type(mine) is type(theirs), path
    if isinstance(mine, dict):
        assert list(mine) == list(theirs), path
        for key in mine:
            assert_same(mine[key], theirs[key], f"{path}/{key}")
    elif isinstance(mine, (list, tuple)):
        assert len(mine) == len(theirs), path
        for k, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            assert_same(a, b, f"{path}/{k}")
    elif isinstance(mine, torch.Tensor):
        assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), path
        assert torch.equal(mine, theirs), path
    else:
        assert mine == theirs, path


@pytest.mark.parametrize(
    ("rule", "isolate", "steps"),
    [
        ("adamw", False, 0),
        ("adamw", False, 2),
        ("adamw", None, 2),
        ("sgd", False, 0),
        ("tensor lr", False, 2),
    ],
)
def test_everything_is_as_before(rule, isolate, steps):
    training = Everything(*RULES[rule])
    for _ in range(steps):
        training.step(training.X, training.Y)
    before, same = training.values()
    memory.fit(training.step, training.X, training.Y, most=64, budget="1GiB", isolate=isolate)
    after, still = training.values()
    assert_same(after, before)
    assert still == same
    training.step(training.X, training.Y)
    with pytest.raises(AssertionError):
        assert_same(training.values()[0], before)


def test_the_next_steps_are_those_without_a_probe():
    """Of two trainings that are the same; one is probed between its steps."""
    losses = []
    for probed in (False, True):
        training = Everything(*RULES["adamw"])
        training.step(training.X, training.Y)
        if probed:
            memory.fit(training.step, training.X, training.Y, most=64, isolate=False)
        for _ in range(3):
            training.step(training.X, training.Y)
        losses.append(training.values()[0])
    assert_same(losses[1], losses[0])


@pytest.mark.parametrize("isolate", [False, None])
def test_the_plans_of_gpuopt_s_own_optimizers_begin_anew(isolate):
    """They count steps, and would go on from the probe's."""
    rule, ends = importlib.import_module("gpuopt.torch").AdamW, []
    for probed in (False, True):
        training = Training("mlp", rule=rule)
        training.two_steps(64)
        if probed:
            memory.fit(training.step, training.X, training.Y, most=64, isolate=isolate)
        training.two_steps(64)
        ends.append([*training.net.parameters()])
    assert all(map(torch.equal, *ends))


def test_what_raises_leaves_everything():
    training = Everything(*RULES["adamw"])

    def step(x, y):
        training.step(x, y)
        if len(x) > 40:
            raise ZeroDivisionError("mine")

    before, same = training.values()
    with pytest.raises(ZeroDivisionError, match="mine"):
        memory.fit(step, training.X, training.Y, isolate=False)
    after, still = training.values()
    assert_same(after, before)
    assert still == same


def test_a_tensor_that_is_named_is_put_back():
    W = torch.ones(4, 3)

    def step(x):
        W.sub_(x.mean(0))

    memory.fit(step, torch.ones(64, 3), preserve=[W], isolate=False)
    assert torch.equal(W, torch.ones(4, 3))


def test_a_hook_of_the_user_stays_and_none_is_left():
    training = Training("mlp")
    training.optimizer.register_step_pre_hook(lambda *_: None)
    memory.fit(training.step, training.X, training.Y, most=64, isolate=False)
    assert len(training.optimizer._optimizer_step_pre_hooks) == 1
