"""Adam on NumPy arrays, against PyTorch's fused Adam, this machine's limit, and naive NumPy.

    pytest bench --results bench/results/cpu.json && python bench/table.py

Parity is checked first. Peers take turns with gpuopt in one process, on the same memory.
"""

import statistics
import subprocess
import sys

import numpy as np
import pytest
import torch

import gpuopt
from gpuopt.bench import cases
from gpuopt.bench.clock import interleave, summary
from gpuopt.bench.limits import limits
from gpuopt.bench.peers.naive import naive as naive_step
from gpuopt.bench.results import limit
from gpuopt.bench.traffic import traffic

MOVED = traffic("Adam")


def arrays(shapes: cases.Shapes, seed: int) -> list[np.ndarray]:
    """Numbers from 0.1 to 1.1."""
    rng = np.random.default_rng(seed)
    return [rng.random(shape, dtype=np.float32) + 0.1 for shape in shapes]


def fused(params: list[np.ndarray], grads: list[np.ndarray]) -> torch.optim.Adam:
    tensors = [torch.from_numpy(p.copy()).requires_grad_() for p in params]
    for tensor, grad in zip(tensors, grads, strict=True):
        tensor.grad = torch.from_numpy(grad)
    return torch.optim.Adam(tensors, fused=True)


def check_parity(opt_params: list[np.ndarray], peer: torch.optim.Adam) -> float:
    """The largest difference from the peer; raises if they are not the same step."""
    tensors = peer.param_groups[0]["params"]
    pairs = list(zip(opt_params, tensors, strict=True))
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-6)
    return max(float(np.abs(a - t.detach().numpy()).max()) for a, t in pairs)


def put_in_the_same_memory(
    peer: torch.optim.Adam, params: list[np.ndarray], opt: gpuopt.Optimizer
) -> None:
    """Have the peer update gpuopt's own arrays: memory is not equally fast everywhere."""
    tensors = peer.param_groups[0]["params"]
    for tensor, p, state in zip(tensors, params, opt.state.values(), strict=True):
        tensor.data = torch.from_numpy(p)
        peer.state[tensor]["exp_avg"] = torch.from_numpy(state["m"])
        peer.state[tensor]["exp_avg_sq"] = torch.from_numpy(state["v"])


# shapes, runs in a turn, what to reach against torch fused
CASES = {
    "one tensor of 2e7": (lambda: cases.one(20_000_000), 3, 1.0),
    "GPT-2 small": (cases.gpt2_small, 2, 1.0),
    "ResNet-50": (cases.resnet50, 3, 1.0),
    "MLP 784-128-10": (cases.mlp, 200, 2.5),
    "500 tensors of 256, same gradient arrays": (cases.small_tensors, 50, 100),
}
ROUNDS = 10


@pytest.mark.parametrize("case", CASES)
def test_against_torch_fused(case, record, benchmark):
    make_shapes, each, reach = CASES[case]
    params, grads = arrays(make_shapes(), 0), tuple(arrays(make_shapes(), 1))
    peer = fused(params, list(grads))
    opt = gpuopt.Adam(params)
    for _ in range(2):
        opt.step(grads)
        peer.step()
    difference = check_parity(params, peer)
    put_in_the_same_memory(peer, params, opt)
    candidates = {"gpuopt": lambda: opt.step(grads), "torch fused": peer.step}
    if case == "one tensor of 2e7":
        m, v = opt.state["0"].values()
        candidates |= limits(MOVED, [params[0], m, v, grads[0]])
    times = {name: summary(s) for name, s in interleave(candidates, ROUNDS, each).items()}
    elements = cases.elements(make_shapes())
    ours = times["gpuopt"]["median"]
    row = {"case": f"Adam float32, {case}", "times": times, "largest_difference": difference}
    row["gb_per_s"] = elements * MOVED.bytes / ours / 1e9
    speedup = times["torch fused"]["median"] / ours
    record(row | {"against": "torch fused", "ratio": speedup, "reach": reach})
    best = limit(row)
    if best:
        share = best["median"] / ours
        record(row | {"against": "limit", "ratio": share, "reach": 0.95})
    benchmark.extra_info |= {"speedup over torch fused": speedup}
    benchmark.pedantic(opt.step, args=(grads,), rounds=10, warmup_rounds=1)


def test_new_gradient_arrays_every_step(record, benchmark):
    shapes = cases.small_tensors()
    params = arrays(shapes, 0)
    sets = [arrays(shapes, seed) for seed in range(1, 9)]
    peer = fused(params, sets[0])
    opt = gpuopt.Adam(params)
    opt.step(sets[0])
    peer.step()
    difference = check_parity(params, peer)
    turn = iter(range(10**9))

    def step() -> None:
        opt.step(sets[next(turn) % len(sets)])

    times = interleave({"gpuopt": step, "torch fused": peer.step}, ROUNDS, 50)
    times = {name: summary(s) for name, s in times.items()}
    ratio = times["torch fused"]["median"] / times["gpuopt"]["median"]
    record(
        {
            "case": "Adam float32, 500 tensors of 256, new gradient arrays",
            "against": "torch fused",
            "ratio": ratio,
            "reach": 10,
            "times": times,
            "largest_difference": difference,
        }
    )
    benchmark.pedantic(step, rounds=20, warmup_rounds=1)


def test_numpy_backend(record, benchmark):
    p, g = arrays([(20_000_000,)], 0)[0], arrays([(20_000_000,)], 1)[0]
    naive, opt = naive_step("Adam", p.copy()), gpuopt.Adam(p, backend="numpy")
    opt.step(g)
    naive.step(g)
    np.testing.assert_allclose(p, naive.p, rtol=1e-5, atol=1e-6)
    difference = float(np.abs(p - naive.p).max())
    times = interleave({"gpuopt": lambda: opt.step(g), "naive": lambda: naive.step(g)}, ROUNDS, 1)
    times = {name: summary(s) for name, s in times.items()}
    record(
        {
            "case": "Adam float32, one tensor of 2e7, backend='numpy'",
            "against": "naive NumPy",
            "ratio": times["naive"]["median"] / times["gpuopt"]["median"],
            "reach": 1.5,
            "times": times,
            "largest_difference": difference,
        }
    )
    benchmark.pedantic(opt.step, args=(g,), rounds=5, warmup_rounds=1)


IMPORTS = """
import time
import numpy
start = time.perf_counter()
import gpuopt
print(time.perf_counter() - start)
"""
FIRST_STEP = """
import time
import numpy as np
p, g = np.ones(1000, "f4"), np.ones(1000, "f4")
start = time.perf_counter()
import gpuopt
gpuopt.Adam(p).step(g)
print(time.perf_counter() - start)
"""


STARTS = [
    ("import gpuopt, over import numpy", IMPORTS, 0.15),
    ("import, construct and first step, compiled code cached", FIRST_STEP, 0.3),
]


@pytest.mark.parametrize(("case", "script", "reach"), STARTS)
def test_start_of_a_process(case, script, reach, record, benchmark):
    def run() -> float:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        return float(done.stdout)

    seconds = benchmark.pedantic(lambda: [run() for _ in range(8)][1:], rounds=1)
    record(
        {
            "case": case,
            "against": "at most",
            "ratio": statistics.median(seconds),
            "reach": reach,
            "times": {"gpuopt": summary(seconds)},
        }
    )
