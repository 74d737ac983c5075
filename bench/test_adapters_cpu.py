"""The drop-ins, Python overhead included: gpuopt.torch against torch.optim, gpuopt.thinc against
Thinc. Both sides step the same tensors, with the same state.

    pytest bench --results bench/results/cpu.json && python bench/table.py
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import thinc.api
import torch

import gpuopt.thinc
import gpuopt.torch as fused
from bench.test_adam_cpu import ROUNDS
from gpuopt.bench import cases
from gpuopt.bench.clock import Timings, interleave, summary

LISTS = {
    "GPT-2 small": (cases.gpt2_small, 2),
    "ResNet-50": (cases.resnet50, 3),
    "MLP 784-128-10": (cases.mlp, 200),
    "500 tensors of 256": (cases.small_tensors, 50),
}
BIAS_CORRECTED = {"beta": 0.9, "bias_correction": True}


class ForeachMomentum:
    """Momentum with bias correction as torch's foreach functions do it best: three passes."""

    def __init__(self, params: list[torch.nn.Parameter], lr: float) -> None:
        self.params, self.lr, self.t = params, lr, 0
        self.values = [p.detach() for p in params]
        self.averages = [torch.zeros_like(p) for p in self.values]

    def step(self) -> None:
        self.t += 1
        torch._foreach_lerp_(self.averages, [p.grad for p in self.params], 0.1)
        rate = -self.lr / (1 - 0.9**self.t)
        torch._foreach_add_(self.values, self.averages, alpha=rate)


# against, optimizer, what torch's best is, list, what to reach
FUSED = ("torch fused", fused.Adam, lambda p: torch.optim.Adam(p, fused=True))
FOREACH = "torch foreach"
CASES = [
    (*FUSED, "GPT-2 small", 1.0),
    (*FUSED, "ResNet-50", 1.0),
    (*FUSED, "MLP 784-128-10", 2.5),
    (*FUSED, "500 tensors of 256", 10),
    (FOREACH, fused.Adam, lambda p: torch.optim.Adam(p, foreach=True), "ResNet-50", 1.0),
    (FOREACH, fused.RMSprop, lambda p: torch.optim.RMSprop(p, foreach=True), "ResNet-50", 4),
    (FOREACH, fused.NAdam, lambda p: torch.optim.NAdam(p, foreach=True), "ResNet-50", 4),
    (FOREACH, fused.RMSprop, lambda p: torch.optim.RMSprop(p, foreach=True), "GPT-2 small", 4),
    (FOREACH, fused.NAdam, lambda p: torch.optim.NAdam(p, foreach=True), "500 tensors of 256", 4),
    (
        FOREACH,
        lambda p: fused.Momentum(p, 1e-3, **BIAS_CORRECTED),
        lambda p: ForeachMomentum(p, 1e-3),
        "ResNet-50",
        4,
    ),
]


def parameters(shapes: cases.Shapes) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.rand(s, generator=generator) + 0.1) for s in shapes]
    for p in params:
        p.grad = torch.rand(p.shape, generator=generator) + 0.1
    return params


def row(name: str, case: str, reach: float, times: Timings, difference: float) -> dict[str, Any]:
    """What is recorded of gpuopt's seconds and its peer's."""
    found = {name: summary(seconds) for name, seconds in times.items()}
    (peer,) = found.keys() - {"gpuopt"}
    return {
        "case": f"gpuopt.{name} float32, {case}",
        "against": peer,
        "ratio": found[peer]["median"] / found["gpuopt"]["median"],
        "reach": reach,
        "times": found,
        "largest_difference": difference,
    }


def difference_after_two_steps(ours: Callable, peer: Callable, shapes: cases.Shapes) -> float:
    """The largest one between both, each on parameters of its own; raises if it is not rounding."""
    mine, theirs = parameters(shapes), parameters(shapes)
    one, other = ours(mine), peer(theirs)
    for _ in range(2):
        one.step()
        other.step()
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    return max(float((p - q).detach().abs().max()) for p, q in zip(mine, theirs, strict=True))


def share_state(opt: torch.optim.Optimizer, peer: torch.optim.Optimizer) -> None:
    """Have the peer work on the same state: memory is not equally fast everywhere."""
    for p, state in opt.state.items():
        for key, value in state.items():
            if key not in ("step", "mu_product"):
                peer.state[p][key] = value


@pytest.mark.parametrize(
    ("against", "ours", "peer", "case", "reach"),
    CASES,
    ids=lambda x: x if isinstance(x, str) else getattr(x, "__name__", None),
)
def test_torch(against, ours, peer, case, reach, record, benchmark):
    make_shapes, each = LISTS[case]
    difference = difference_after_two_steps(ours, peer, make_shapes())
    params = parameters(make_shapes())
    opt, other = ours(params), peer(params)
    opt.step()
    other.step()
    if isinstance(other, torch.optim.Optimizer):
        share_state(opt, other)
    times = interleave({"gpuopt": opt.step, against: other.step}, ROUNDS, each)
    record(row(f"torch.{type(opt).__name__}", case, reach, times, difference))
    benchmark.pedantic(opt.step, rounds=10, warmup_rounds=1)


def test_torch_with_new_gradients_every_step(record, benchmark):
    """As after `zero_grad()`: other tensors every time, which are given untimed."""
    shapes = cases.small_tensors()
    params = parameters(shapes)
    sets = [[torch.rand(s) for s in shapes] for _ in range(8)]
    turn = iter(range(10**9))

    def give_new() -> None:
        for p, g in zip(params, sets[next(turn) % len(sets)], strict=True):
            p.grad = g

    in_turns(params, give_new, "500 tensors of 256, new gradients", 10, record, benchmark)


def test_torch_in_a_training_loop(record, benchmark):
    """After a forward and a backward pass, untimed: the caches are full of these, and so are the
    threads' hands."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)
    model = torch.nn.Sequential(*layers)
    x, y = torch.randn(64, 784), torch.randint(0, 10, (64,))

    def backward() -> None:
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()

    params = list(model.parameters())
    in_turns(params, backward, "MLP 784-128-10, in a training loop", 1.0, record, benchmark)


def in_turns(params, before, case, reach, record, benchmark) -> None:
    """Adam, fused, on the same parameters, `before` each step."""
    before()
    opt, peer = fused.Adam(params), torch.optim.Adam(params, fused=True)
    difference = difference_after_two_steps(FUSED[1], FUSED[2], [tuple(p.shape) for p in params])
    candidates = {"gpuopt": opt.step, "torch fused": peer.step}
    times = interleave(candidates, ROUNDS, 50, before)
    record(row("torch.Adam", case, reach, times, difference))
    benchmark.pedantic(opt.step, rounds=10, warmup_rounds=1)


@pytest.mark.parametrize("case", ["500 tensors of 256", "MLP 784-128-10"])
def test_thinc(case, record, benchmark):
    """A training step's calls, one for each array, with Thinc's defaults: clip, Adam, average."""
    shapes = LISTS[case][0]()
    rng = np.random.default_rng(0)
    start = [rng.random(s, dtype=np.float32) + 0.1 for s in shapes]
    grads = [rng.random(s, dtype=np.float32) + 0.1 for s in shapes]
    results, candidates = [], {}
    for name, make in (("gpuopt", gpuopt.thinc.Adam), ("Thinc", thinc.api.Adam)):
        weights, opt = [w.copy() for w in start], make(0.001)

        def step(weights=weights, opt=opt) -> None:
            for k, (w, g) in enumerate(zip(weights, grads, strict=True)):
                opt((k, "W"), w, g.copy())

        for _ in range(2):
            step()
        results.append([w.copy() for w in weights])
        candidates[name] = step
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    difference = max(float(np.abs(a - b).max()) for a, b in zip(*results, strict=True))
    times = interleave(candidates, ROUNDS, 5)
    record(row("thinc.Adam", case, 1.0, times, difference))
    benchmark.pedantic(candidates["gpuopt"], rounds=5, warmup_rounds=1)
