"""The rows for large tensors on a GPU: Adam, RMSprop and the whole step."""

from typing import Any

import gpuopt
from bench import gpu_peers as peers
from gpuopt import rules
from gpuopt.bench import cases
from gpuopt.bench.cases import elements
from gpuopt.bench.clock_gpu import interleave, summaries
from gpuopt.bench.limits_gpu import limits
from gpuopt.bench.peers.naive import naive as naive_step
from gpuopt.bench.traffic import traffic
from gpuopt.rules.whole import WholeStep

NORM = 4  # bytes an element that a norm reads before the step
BIG: dict[str, cases.Shapes] = {
    "one tensor of 1e8": cases.one(100_000_000),
    "GPT-2 small": cases.gpt2_small(),
    "ResNet-50": cases.resnet50(),
}


def row(case: str, found: Any, ours: float, against: str, reach: float, **more: Any) -> dict:
    """A row in the shape of bench/results/cpu.json, with the wall clock beside it."""
    times = summaries(found, "events")
    ratio = times[against]["median"] / ours if against in times else more.pop("ratio")
    late = {name: sum(t["late"]) for name, t in found.items() if any(t["late"])}
    return {
        "case": case,
        "clock": "events",
        "times": times,
        "wall": summaries(found, "wall"),
        "turns_that_waited_for_the_host": late,
        "against": against,
        "ratio": ratio,
        "reach": reach,
        **more,
    }


def adam(name: str, rounds: int) -> list[dict]:
    """Adam in float32 against the limit, torch and, for one tensor, naive CuPy."""
    shapes = BIG[name]
    params, grads = peers.arrays(shapes, 0), tuple(peers.arrays(shapes, 1))
    opt = gpuopt.Adam(params, backend="cupy")
    fused, foreach = (peers.peer("Adam", kind, shapes) for kind in ("fused", "foreach"))
    candidates = {
        "gpuopt": lambda: opt.step(grads),
        "torch fused": fused.step,
        "torch foreach": foreach.step,
    }
    naive = naive_step("Adam", peers.arrays(shapes, 0)[0]) if len(shapes) == 1 else None
    if naive:
        candidates["naive CuPy"] = lambda: naive.step(grads[0])
    for _ in range(2):
        for run in candidates.values():
            run()
    differences = [peers.difference(params, x.param_groups[0]["params"]) for x in (fused, foreach)]
    if naive:
        differences.append(peers.difference(params, [naive.p]))
    flat = flat_arrays(elements(shapes), opt, params, grads)
    moved = traffic("Adam")
    found = interleave(candidates | limits(moved, flat), rounds)
    times = summaries(found, "events")
    ours = times["gpuopt"]["median"]
    more = {
        "largest_difference": max(differences),
        "gb_per_s": elements(shapes) * moved.bytes / ours / 1e9,
        "elements": elements(shapes),
    }
    case = f"Adam float32, {name}"
    best = min(t["median"] for key, t in times.items() if key.startswith("limit"))
    more["share_of_copy"] = times["limit, copy"]["median"] / ours
    rows = [
        row(case, found, ours, "torch fused", 1.05, **more),
        row(case, found, ours, "limit", 0.95, ratio=best / ours, **more),
    ]
    if naive:
        rows.append(row(case, found, ours, "naive CuPy", 4, **more))
    return rows


def flat_arrays(count: int, opt: Any, params: Any, grads: Any) -> list[Any]:
    """Four flat arrays of so many elements: for one tensor p, m, v and g themselves."""
    if len(params) == 1:
        m, v = opt.state["0"].values()
        return [params[0], m, v, grads[0]]
    return [peers.arrays([(count,)], seed)[0] for seed in range(4)]


def rmsprop(centered: bool, rounds: int) -> list[dict]:
    """RMSprop against torch's best, which is foreach."""
    name = "GPT-2 small"
    shapes = BIG[name]
    options = {"lr": 1e-3, **({"centered": True, "momentum": 0.9} if centered else {})}
    params, grads = peers.arrays(shapes, 0), tuple(peers.arrays(shapes, 1))
    opt = gpuopt.RMSprop(params, backend="cupy", **options)
    foreach = peers.peer("RMSprop", "foreach", shapes, **options)
    for _ in range(2):
        opt.step(grads)
        foreach.step()
    differences = peers.difference(params, foreach.param_groups[0]["params"])
    candidates = {"gpuopt": lambda: opt.step(grads), "torch foreach": foreach.step}
    found = interleave(candidates, rounds)
    ours = summaries(found, "events")["gpuopt"]["median"]
    rule = rules.RMSprop(centered=centered, momentum=0.9 * centered)
    speed = elements(shapes) * traffic(rule).bytes / ours / 1e9
    more = {"largest_difference": differences, "gb_per_s": speed}
    kind = "Centered RMSprop with momentum" if centered else "RMSprop"
    return [row(f"{kind} float32, {name}", found, ours, "torch foreach", 2.5, **more)]


def whole_step(name: str, rounds: int) -> list[dict]:
    """Unscale, clip, AdamW, average and zero, against the best sequence of torch's functions."""
    shapes = BIG[name]
    ours = peers.WholeStep(shapes)
    sequences = {
        "torch, clip_grad_norm_ and fused": peers.TorchSequence(shapes, folded=False),
        "torch, clipping folded into fused": peers.TorchSequence(shapes, folded=True),
    }
    worst = 0.0
    for _ in range(2):
        for x in (ours, *sequences.values()):
            x.refill()
            x.step()
    for x in sequences.values():
        averages = [buffers["average"] for buffers in ours.opt.state.values()]
        worst = max(worst, peers.difference(ours.params, x.params))
        worst = max(worst, peers.difference(averages, x.averages))
    candidates = {"gpuopt": ours.step, **{key: x.step for key, x in sequences.items()}}
    refills = {"gpuopt": ours.refill, **{key: x.refill for key, x in sequences.items()}}
    found = interleave(candidates, rounds, prepare=refills)
    times = summaries(found, "events")
    best = min(sequences, key=lambda key: times[key]["median"])
    mine = times["gpuopt"]["median"]
    bytes = NORM + traffic(WholeStep(rules.AdamW(), average=peers.DECAY, zeroed=True)).bytes
    more = {"largest_difference": worst, "gb_per_s": elements(shapes) * bytes / mine / 1e9}
    case = f"Unscale, clip, AdamW, average, zero; {name}"
    return [row(case, found, mine, best, 1.5, **more)]
