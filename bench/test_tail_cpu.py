"""What surrounds a step in training, against PyTorch's best sequence for the same: clip by norm,
AdamW, a running average of the parameters, zeroed gradients. On NumPy arrays.

    pytest bench --results bench/results/cpu.json && python bench/table.py
"""

import numpy as np
import pytest
import torch

import gpuopt
from bench.test_adam_cpu import ROUNDS, arrays
from gpuopt import rules
from gpuopt.bench import cases
from gpuopt.bench.clock import interleave, summary
from gpuopt.bench.traffic import traffic
from gpuopt.rules.whole import WholeStep

DECAY, MAX_NORM = 0.999, 1.0
NORM = 4  # bytes an element that a norm reads before the step
BYTES = NORM + traffic(WholeStep(rules.AdamW(), average=DECAY, zeroed=True)).bytes


class Sequence:
    """PyTorch's way, each call the fastest of its kind: foreach norm and average, fused step."""

    def __init__(self, params: list[np.ndarray], grads: list[np.ndarray]) -> None:
        self.params = [torch.from_numpy(p).requires_grad_() for p in params]
        self.grads = [torch.from_numpy(g) for g in grads]
        for p, g in zip(self.params, self.grads, strict=True):
            p.grad = g
        self.values = [p.detach() for p in self.params]
        self.averages = [p.clone() for p in self.values]
        self.opt = torch.optim.AdamW(self.params, fused=True)

    def step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.params, MAX_NORM, foreach=True)
        self.opt.step()
        torch._foreach_lerp_(self.averages, self.values, 1 - DECAY)
        torch._foreach_zero_(self.grads)


CASES = {"GPT-2 small": (cases.gpt2_small, 2), "ResNet-50": (cases.resnet50, 3)}


@pytest.mark.parametrize("case", CASES)
def test_clip_adamw_average_zero(case, record, benchmark):
    make_shapes, each = CASES[case]
    params, first = arrays(make_shapes(), 0), arrays(make_shapes(), 1)
    grads = [g.copy() for g in first]
    peer = Sequence([p.copy() for p in params], [g.copy() for g in first])
    opt = gpuopt.AdamW(params, average=DECAY)

    def step() -> None:
        opt.step(grads, max_norm=MAX_NORM, zero_grads=True)

    for gradients in (first, first[::-1]):  # the second time smaller, so clipped less
        for ours, theirs, g in zip(grads, peer.grads, first, strict=True):
            ours[...] = g / (1 + (gradients is not first))
            theirs.copy_(torch.from_numpy(ours))
        step()
        peer.step()
    difference = max(
        float(np.abs(p - q.numpy()).max()) for p, q in zip(params, peer.values, strict=True)
    )
    assert difference < 1e-6
    assert not any(g.any() for g in grads)
    put_in_the_same_memory(peer, params, grads, opt)
    times = interleave({"gpuopt": step, "torch's sequence": peer.step}, ROUNDS, each)
    times = {name: summary(seconds) for name, seconds in times.items()}
    ours = times["gpuopt"]["median"]
    record(
        {
            "case": f"clip by norm + AdamW + average + zero, {case}",
            "against": "torch's best sequence",
            "ratio": times["torch's sequence"]["median"] / ours,
            "reach": 1.6,
            "times": times,
            "largest_difference": difference,
            "gb_per_s": cases.elements(make_shapes()) * BYTES / ours / 1e9,
        }
    )
    benchmark.pedantic(step, rounds=5, warmup_rounds=1)


def put_in_the_same_memory(
    peer: Sequence, params: list[np.ndarray], grads: list[np.ndarray], opt: gpuopt.Optimizer
) -> None:
    """Have the peer work on gpuopt's own arrays: memory is not equally fast everywhere."""
    for k, (p, state) in enumerate(zip(params, opt.state.values(), strict=True)):
        tensor = peer.params[k]
        tensor.data = peer.values[k] = torch.from_numpy(p)
        tensor.grad = peer.grads[k] = torch.from_numpy(grads[k])
        peer.averages[k] = torch.from_numpy(state["average"])
        peer.opt.state[tensor]["exp_avg"] = torch.from_numpy(state["m"])
        peer.opt.state[tensor]["exp_avg_sq"] = torch.from_numpy(state["v"])
