"""Norm, clip, found-inf, skip, average and zeroed gradients: every rule against float64, element by
element, over ten steps, on every backend."""

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.parity.cases import SIZES, STEPS, chosen, fullest, name
from tests.whole.reference import Reference

LR = 1e-3
BAD_STEPS = (0, 3, 7)  # those with an infinite gradient, where such steps are skipped
EVERYTHING = {
    "max_norm": 3e5,
    "max_value": 50.0,
    "loss_scale": 1000.0,
    "skip_nonfinite": True,
    "zero_grads": True,
}
SINGLE = [
    {"max_norm": 3e5},
    {"max_norm": np.inf},
    {"max_value": 50.0},
    {"loss_scale": 3.0},
    {"skip_nonfinite": True},
    {"zero_grads": True},
    {"average": 0.9},
]


def start(dtype, rule, scale):
    """Parameters of every size, and each step's gradients times `scale`, of magnitudes from 1e-4 to
    1e4, large and small in turn so that some steps are clipped and some are not.

    A gradient keeps its sign over the steps and shares it with p, so no sum cancels and the
    tolerance can be a few units in the last place of each element.
    """
    rng = np.random.default_rng(7)
    sign = -1 if rule.maximize else 1
    params, grads = [], [[] for _ in range(STEPS)]
    for size in SIZES:
        p = rng.choice([-1.0, 1.0], size) * 10 ** rng.uniform(-3, 3, size)
        g = sign * scale * np.sign(p) * 10 ** rng.uniform(-2, 4, size)
        params.append(p.astype(dtype))
        for t in range(STEPS):
            wave = (1 + 0.3 * np.sin(3 * t + np.arange(size))) * (0.01 if t % 3 == 1 else 1)
            grads[t].append((g * wave).astype(dtype))
    return params, grads


def check(backend, rule, dtype, average=None, **options):
    params, grads = start(dtype, rule, options.get("loss_scale", 1.0))
    reference = Reference(params, rule, LR, average)
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Optimizer(mine, rule, lr=LR, average=average, backend=backend.name)
    clipped = []
    for t in range(STEPS):
        bad = options.get("skip_nonfinite", False) and t in BAD_STEPS
        if bad:
            last = max(k for k, g in enumerate(grads[t]) if g.size)
            grads[t][last][-1] = (np.inf, np.nan, -np.inf)[BAD_STEPS.index(t)]
        kept = [g.copy() for g in grads[t]]
        reference.step(kept, **options)
        opt.step([backend.asarray(g) for g in grads[t]], **options)
        for g, given in zip(grads[t], kept, strict=True):
            np.testing.assert_array_equal(g, 0 if options.get("zero_grads") else given)
        if "max_norm" in options and not bad:
            assert opt.grad_norm == pytest.approx(reference.norm, rel=2e-7)
            clipped.append(reference.norm > options["max_norm"])
    if options.get("max_norm", np.inf) < np.inf:
        assert set(clipped) == {True, False}
    reference.compare(opt, params, backend.to_numpy, dtype)


@pytest.mark.parametrize("cls", rules.ALL, ids=lambda cls: cls.__name__)
def test_every_rule_with_everything_in_float32(cls, backend):
    check(backend, fullest(cls), np.float32, average=0.9, **EVERYTHING)


@pytest.mark.parametrize("rule", [rules.AdamW()], ids=name)
def test_everything_in_float64(rule, backend):
    check(backend, rule, np.float64, average=0.9, **EVERYTHING)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", [r for cls in rules.ALL for r in chosen(cls)], ids=name)
@pytest.mark.parametrize("backend", ["numpy"], indirect=True)
def test_more_rules_and_flags_where_nothing_is_compiled(rule, dtype, backend):
    check(backend, rule, dtype, average=0.99, **EVERYTHING)


@pytest.mark.parametrize("options", SINGLE, ids=lambda options: "-".join(map(str, options)))
def test_every_option_alone(options, backend):
    check(backend, rules.AdamW(weight_decay=0.01), np.float32, **options)
