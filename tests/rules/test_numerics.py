"""What rounding, large step counts, NaN and infinity do to the formulas."""

import dataclasses
import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules

HUGE_STEPS = [1, 10, 10**4, 10**7, 2**24 + 1, 2**31]


def step_at(opt, t, state, g):
    """Set the first parameter's state as before its step t, and take that step."""
    saved = opt.state_dict()
    saved["state"]["0"] = {"step": t - 1, **(state if t > 1 else {})}
    saved["step_count"] = t - 1
    opt.load_state_dict(saved)
    opt.step(g)


@pytest.mark.parametrize("beta2", [0.9, 0.999, 0.99999])
@pytest.mark.parametrize("t", HUGE_STEPS)
def test_bias_correction(backend, t, beta2):
    """One minus beta and beta^t are worked out in float64: an error in float32 would be 1e-3."""
    p, g = np.full(9, 2, "f4"), np.full(9, 0.3, "f4")
    m, v = np.full(9, 0.1, "f4"), np.full(9, 0.05, "f4")
    opt = gpuopt.Adam(backend.asarray(p), lr=1, betas=(0.9, beta2), backend=backend.name)
    step_at(opt, t, {"m": m, "v": v}, backend.asarray(g))
    m0, v0, g0 = (0.0, 0.0, float(g[0])) if t == 1 else (float(m[0]), float(v[0]), float(g[0]))
    m1, v1 = 0.9 * m0 + 0.1 * g0, beta2 * v0 + (1 - beta2) * g0 * g0
    # log1p and expm1: another way to 1 - beta^t than the library's
    c1, c2 = (-math.expm1(t * math.log(beta)) for beta in (0.9, beta2))
    expected = 2 - (m1 / c1) / (math.sqrt(v1 / c2) + 1e-8)
    np.testing.assert_allclose(p, expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(backend.to_numpy(opt.state["0"]["v"]), v1, rtol=3e-7)
    assert opt.param_steps["0"] == t


def test_a_beta_close_to_one_in_float32(backend):
    """The second moment of a constant gradient after n steps is (1 - beta^n) g^2."""
    p = np.ones(3, "f4")
    opt = gpuopt.Adam(backend.asarray(p), lr=1e-4, betas=(0.9, 0.99999), backend=backend.name)
    g = backend.asarray(np.full(3, 2, "f4"))
    for _ in range(50):
        opt.step(g)
    v = backend.to_numpy(opt.state["0"]["v"])
    np.testing.assert_allclose(v, 4 * -math.expm1(50 * math.log(0.99999)), rtol=5e-6)
    np.testing.assert_allclose(p, 1 - 50e-4, rtol=1e-5)


def test_centered_rmsprop_with_a_constant_gradient(backend):
    """v - m^2 goes to zero and rounds to below it: its root must not be NaN."""
    rng = np.random.default_rng(1)
    p, g = np.ones(4096, "f4"), rng.normal(size=4096).astype("f4")
    opt = gpuopt.RMSprop(
        backend.asarray(p), lr=1e-6, alpha=0.9, centered=True, backend=backend.name
    )
    g = backend.asarray(g)
    for _ in range(400):
        opt.step(g)
    assert np.all(np.isfinite(p))
    v, m = (backend.to_numpy(opt.state["0"][name]) for name in "vm")
    if backend.name == "numpy":  # others fuse products and sums, and round to either side
        assert np.any(v - m * m < 0), "the case must reach what it tests"


@pytest.mark.parametrize("rule", [cls() for cls in rules.ALL], ids=lambda r: type(r).__name__)
def test_nan_and_infinity_stay_and_touch_no_neighbour(backend, rule):
    special = np.array([np.nan, np.inf, -np.inf], "f4")
    g = np.ones(40, "f4")
    g[[3, 17, 39]] = special
    p, clean = np.ones(40, "f4"), np.ones(40, "f4")
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=0.1, backend=backend.name)
    reference = gpuopt.Optimizer(backend.asarray(clean), rule, lr=0.1, backend=backend.name)
    opt.step(backend.asarray(g))
    reference.step(backend.asarray(np.ones(40, "f4")))
    # those that take the sign step by lr where it is infinite
    infinite = not isinstance(rule, (rules.Lion, rules.Rprop))
    assert not np.any(np.isfinite(p[[3, 17, 39] if infinite else [3]]))
    assert np.isnan(p[3])
    others = np.delete(np.arange(40), [3, 17, 39])
    np.testing.assert_array_equal(p[others], clean[others])
    for name, values in opt.state["0"].items():
        values = backend.to_numpy(values)[[3, 17, 39]]
        if name == "step_size":  # which only a change of sign changes
            np.testing.assert_array_equal(values, np.float32(0.1))
        else:
            assert not np.any(np.isfinite(values)), name


def without_decay(cls):
    decays = {"weight_decay", "lambd"} & {f.name for f in dataclasses.fields(cls)}
    return cls(**dict.fromkeys(decays, 0.0))


@pytest.mark.parametrize(
    "rule", [without_decay(cls) for cls in rules.ALL], ids=lambda r: type(r).__name__
)
def test_an_infinite_parameter_without_decay_stays_infinite(backend, rule):
    p = np.array([np.inf, -np.inf, 1], "f4")
    opt = gpuopt.Optimizer(backend.asarray(p), rule, lr=0.1, backend=backend.name)
    for _ in range(2):
        opt.step(backend.asarray(np.ones(3, "f4")))
    np.testing.assert_array_equal(p[:2], [np.inf, -np.inf])
    for name, values in opt.state["0"].items():
        values = backend.to_numpy(values)
        if name == "ax":  # an average of p
            np.testing.assert_array_equal(values, p)
        else:
            assert np.all(np.isfinite(values)), name


def test_decoupled_decay_takes_the_old_p(backend):
    """0.850 and not 0.855, which decaying after the step would give."""
    p = np.ones(5, "f4")
    opt = gpuopt.AdamW(backend.asarray(p), lr=0.1, weight_decay=0.5, backend=backend.name)
    opt.step(backend.asarray(np.full(5, 3, "f4")))
    np.testing.assert_allclose(p, 0.85, rtol=2e-7)


@pytest.mark.parametrize("rule", [cls() for cls in rules.ALL], ids=lambda r: type(r).__name__)
def test_float16_parameters(rule, backend):
    """State and arithmetic are float32: a zero gradient is no NaN, and small steps add up right."""
    p, q = np.ones(9, "f2"), np.ones(9, "f2")
    params = [backend.asarray(x) for x in (p, q)]
    opt = gpuopt.Optimizer(params, rule, lr=0.25, backend=backend.name)
    opt.step([backend.asarray(x) for x in (np.zeros(9, "f2"), np.full(9, 2, "f2"))])
    assert np.all(np.isfinite(p))
    assert all(a.dtype == np.float32 for b in opt.state.values() for a in b.values())
    wide = np.ones(9, "f4")
    single = gpuopt.Optimizer(backend.asarray(wide), rule, lr=0.25, backend=backend.name)
    single.step(backend.asarray(np.full(9, 2, "f4")))
    np.testing.assert_array_equal(q, wide.astype("f2"))


def test_float16_overflows_to_infinity_without_a_warning():
    p = np.full(20000, 6e4, "f2")
    gpuopt.SGD(p, lr=1, backend="numpy").step(np.full(20000, -6e4, "f2"))
    np.testing.assert_array_equal(p, np.inf)


def test_denormals_are_kept(backend):
    p, g = np.full(20, 1e-40, "f4"), np.full(20, 3e-41, "f4")
    gpuopt.SGD(backend.asarray(p), lr=1, backend=backend.name).step(backend.asarray(g))
    np.testing.assert_allclose(p, 7e-41, rtol=1e-4)


def test_a_tiny_decoupled_decay_is_not_rounded_away(backend):
    """lr * weight_decay is 2e-8; 1 - 2e-8 is 1 in float32. Rounding of p averages out over many."""
    rng = np.random.default_rng(0)
    start = rng.uniform(1, 2, 200_000).astype("f4")
    g = rng.uniform(0.5, 1, start.shape).astype("f4")
    ends = []
    for decay in (0.0, 2e-4):
        p = start.copy()
        opt = gpuopt.AdamW(
            backend.asarray(p), lr=1e-4, weight_decay=decay, eps=1.0, backend=backend.name
        )
        opt.step(backend.asarray(g))
        ends.append(p.astype("f8"))
    np.testing.assert_allclose((ends[0] - ends[1]).mean() / start.mean(), 2e-8, rtol=0.1)
