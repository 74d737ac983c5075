"""Every rule on every backend against float64, element by element, over ten steps."""

from types import SimpleNamespace

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.parity.cases import SIZES, STEPS, chosen, every, fullest, name
from tests.parity.formulas import FORMULAS

LR = 1e-3

# Errors allowed, in units in the last place of the largest p, step and state on the way. A step
# rounds p by half a unit when it subtracts, and with decoupled decay by half a unit in the product
# and a quarter in its factor. The step itself is some twenty operations and cast scalars, half a
# unit each; buffers carry the roundings of earlier steps along.
P_ULPS, STEP_ULPS = 1.25 * STEPS, 20 * STEPS
STATE_ULPS = 8 * STEPS


def start(dtype, rule):
    """Parameters of every size and each step's gradients, of magnitudes from 1e-2 to 1e4.

    A gradient keeps its sign over the steps and shares it with p, so no sum cancels and the
    tolerance can be a few units in the last place of each element.
    """
    rng = np.random.default_rng(7)
    sign = -1 if rule.maximize else 1
    params, grads = [], [[] for _ in range(STEPS)]
    for size in SIZES:
        p = rng.choice([-1.0, 1.0], size) * 10 ** rng.uniform(-3, 3, size)
        g = sign * np.sign(p) * 10 ** rng.uniform(-2, 4, size)
        params.append(p.astype(dtype))
        for t in range(STEPS):
            grads[t].append((g * (1 + 0.3 * np.sin(3 * t + np.arange(size)))).astype(dtype))
    return params, grads


def reference(rule, params, grads, formula):
    """The float64 run: for each parameter p, state, and the largest |p|, |step| and |state|."""
    results = []
    for k, p0 in enumerate(params):
        p, state = p0.astype(np.float64), {}
        p_max, step_max, state_max = np.abs(p), np.zeros_like(p), {}
        for t in range(1, STEPS + 1):
            new = formula(p, grads[t - 1][k].astype(np.float64), state, t, LR, rule)
            p_max = np.maximum(p_max, np.abs(new))
            step_max = np.maximum(step_max, np.abs(new - p))
            p = new
            for key, values in state.items():
                state_max[key] = np.maximum(state_max.get(key, 0), np.abs(values))
        results.append((p, state, p_max, step_max, state_max))
    return results


def as_lowered(p, g, state, t, lr, rule):
    """The rule's own formula on float64 arrays."""
    old = [state.get(key, np.full_like(p, rule.initial.get(key, 0))) for key in rule.state]
    before = {key: state.get(key, value) for key, value in rule.carried.items()}
    scalars = SimpleNamespace(**rule.scalars(lr, t, **before))
    with np.errstate(all="ignore"):
        new = rule.update(p, g, *old, scalars)
    new = new if isinstance(new, tuple) else (new,)
    state.update(zip(rule.state, new[1:], strict=True))
    state.update({key: getattr(scalars, key) for key in before})
    return new[0]


def check(backend, rule, dtype, formula):
    params, grads = start(dtype, rule)
    expected = reference(rule, params, grads, formula)
    mine = [backend.asarray(p.copy()) for p in params]
    opt = gpuopt.Optimizer(mine, rule, lr=LR, backend=backend.name)
    for t in range(STEPS):
        opt.step([backend.asarray(g) for g in grads[t]])
    eps = np.finfo(dtype).eps
    for k, (p, state, p_max, step_max, state_max) in enumerate(expected):
        error = np.abs(backend.to_numpy(mine[k]).astype(np.float64) - p)
        allowed = eps * (P_ULPS * p_max + STEP_ULPS * step_max)
        assert np.all(error <= allowed), f"p of size {p.size}: {np.max(error / allowed)} of allowed"
        found = opt.state[str(k)]
        assert set(found) == set(state) or p.size == 0
        for key, values in state.items():
            error = np.abs(backend.to_numpy(found[key]).astype(np.float64) - values)
            allowed = eps * STATE_ULPS * state_max[key]
            assert np.all(error <= allowed), f"{key} of size {p.size}"


@pytest.mark.parametrize("rule", [r for cls in rules.ALL for r in chosen(cls)], ids=name)
def test_float32_follows_the_formula_written_by_hand(backend, rule):
    check(backend, rule, np.float32, FORMULAS[type(rule).__name__])


@pytest.mark.parametrize("rule", [fullest(cls) for cls in rules.ALL], ids=name)
def test_float64_follows_the_formula_written_by_hand(backend, rule):
    check(backend, rule, np.float64, FORMULAS[type(rule).__name__])


@pytest.mark.parametrize("rule", [r for cls in rules.ALL for r in every(cls)], ids=name)
def test_every_combination_of_flags_follows_the_formula_written_by_hand(rule):
    """The formulas alone, in float64: no backend, so all combinations are cheap."""
    params, grads = start(np.float64, rule)
    ours = reference(rule, params, grads, as_lowered)
    theirs = reference(rule, params, grads, FORMULAS[type(rule).__name__])
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-13, atol=1e-13)
        for key, largest in b[4].items():
            assert np.all(np.abs(a[1][key] - b[1][key]) <= 1e-13 * largest), key


@pytest.mark.parametrize("cls", rules.ALL)
def test_every_rule_has_a_formula_written_by_hand(cls):
    assert cls.__name__ in FORMULAS, "add it to tests/parity/formulas.py"
