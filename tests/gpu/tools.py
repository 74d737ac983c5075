"""What the GPU tests share: numbers to start from, runs to compare, facts for the record."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cupy
import numpy as np

import gpuopt
from gpuopt import backends, rules

LR = 1e-3
ULPS = (
    64  # allowed after ten steps: each is some twenty operations, half a unit each, on both sides
)
SIZES = (1, 3, 4, 5, 127, 255, 256, 257, 1023, 1025, 2047, 2048, 2049, 8193, 40_001, 0)


def note(fact: str, **values: Any) -> None:
    """Keep what a test found: a line of $GPUOPT_OUT/facts.jsonl."""
    if "GPUOPT_OUT" in os.environ:
        path = Path(os.environ["GPUOPT_OUT"]) / "facts.jsonl"
        with path.open("a") as file:
            file.write(json.dumps({"fact": fact, **values}) + "\n")


def every_rule() -> dict[str, rules.Rule]:
    """Rules by a short name, each switch on somewhere."""
    try:
        from tests.parity.cases import chosen, name
    except Exception:  # it needs Numba, which may not fit this machine's NumPy
        from gpuopt.selftest import cases

        return cases(rules.ALL)
    return {name(rule): rule for cls in rules.ALL for rule in chosen(cls)}


def fullest() -> dict[str, rules.Rule]:
    """Of each rule the case with the longest name."""
    longest: dict[type, tuple[str, rules.Rule]] = {}
    for name, rule in every_rule().items():
        if len(name) > len(longest.get(type(rule), ("",))[0]):
            longest[type(rule)] = name, rule
    return dict(longest.values())


def start(
    rule: rules.Rule, dtype: Any, steps: int, sizes: Any = SIZES
) -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Parameters, and the gradients of each step, of magnitudes from 1e-2 to 1e4.

    A gradient has its parameter's sign throughout, so no sum cancels and blows up rounding errors.
    """
    rng, dtype = np.random.default_rng(7), np.dtype(dtype)
    parts = 2 if dtype.kind == "c" else 1
    real = np.empty(0, dtype).real.dtype
    sign = -1 if getattr(rule, "maximize", False) else 1
    params, grads = [], [[] for _ in range(steps)]
    for size in sizes:
        p = rng.choice([-1.0, 1.0], size * parts) * 10 ** rng.uniform(-3, 3, size * parts)
        g = sign * np.sign(p) * 10 ** rng.uniform(-2, 4, size * parts)
        params.append(p.astype(real).view(dtype))
        for t in range(steps):
            turn = 1 + 0.3 * np.sin(3 * t + np.arange(size * parts))
            grads[t].append((g * turn).astype(real).view(dtype))
    return params, grads


def reals(a: np.ndarray) -> np.ndarray:
    a = np.ascontiguousarray(a).reshape(-1)
    return a.view(a.real.dtype)


def on_numpy(rule: rules.Rule, params: list[np.ndarray], grads: Any, **how: Any) -> SimpleNamespace:
    """A run of the numpy backend on copies: opt, params, and the largest values on the way."""
    mine = [p.copy(order="K") for p in params]
    average = how.pop("average", None)
    opt = gpuopt.Optimizer(mine, rule, lr=LR, average=average, backend="numpy")
    run = SimpleNamespace(opt=opt, params=mine, norms=[], scales={})
    widen(run)
    for given in grads:
        opt.step([g.copy(order="K") for g in given], **how)
        widen(run)
        run.norms.append(opt.grad_norm if "max_norm" in how else None)
    return run


def widen(run: SimpleNamespace) -> None:
    for key, array in named(run).items():
        now = np.abs(reals(array))
        run.scales[key] = np.maximum(run.scales.get(key, now), now)


def named(run: Any) -> dict[tuple[int, str], np.ndarray]:
    """Parameters and state by position and name, on the host."""
    to_host = backends.load(run.opt.backend).to_host
    found = {(k, "p"): to_host(p) for k, p in enumerate(run.params)}
    for k in range(len(run.params)):
        for key, array in run.opt.state[str(k)].items():
            found[k, key] = to_host(array)
    return found


def on_gpu(
    rule: rules.Rule, params: list[np.ndarray], grads: Any, backend: str, **how: Any
) -> SimpleNamespace:
    """The same run on a GPU."""
    mine = [cupy.asarray(p) for p in params]
    average = how.pop("average", None)
    opt = gpuopt.Optimizer(mine, rule, lr=LR, average=average, backend=backend)
    run = SimpleNamespace(opt=opt, params=mine, norms=[])
    for given in grads:
        opt.step([cupy.asarray(g) for g in given], **how)
        run.norms.append(opt.grad_norm if "max_norm" in how else None)
    return run


def largest_ulps(ours: SimpleNamespace, theirs: SimpleNamespace) -> dict[str, float]:
    """For p and each state buffer the largest difference, in ulps of the largest value that the
    element has had; infinity for a NaN on one side only."""
    worst: dict[str, float] = {}
    found, expected = named(ours), named(theirs)
    assert set(found) == set(expected)
    for (k, key), array in found.items():
        a, b = reals(array), reals(expected[k, key])
        with np.errstate(invalid="ignore"):
            ulps = np.abs(a - b) / np.spacing(np.maximum(theirs.scales[k, key], np.abs(a)))
        ulps = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0, ulps)
        ulps = np.where(np.isnan(ulps), np.inf, ulps)
        worst[key] = max(worst.get(key, 0.0), float(ulps.max(initial=0)))
    return worst
