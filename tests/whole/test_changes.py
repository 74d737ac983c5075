"""Options, gradients, groups and learning rates that change from step to step."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.whole.reference import Reference

SIZES = (5, 1000, 33)
SCALE = 4.0
CYCLE = [
    {},
    {"max_norm": 3.0},
    {"max_value": 0.5},
    {"max_norm": 3.0},
    {"max_norm": 1.5},
    {"loss_scale": SCALE},
    {"skip_nonfinite": True},
    {"zero_grads": True},
    {},
]


def draw(rng, sizes=SIZES):
    """Of one sign, so that no sum cancels."""
    return [(0.2 + np.abs(rng.normal(size=n))).astype("f4") for n in sizes]


@pytest.mark.parametrize(
    ("backend", "average"),  # an average on numba would be four kernels more
    [("numpy", None), ("numba", None), ("cupy", None), ("numpy", 0.9), ("cupy", 0.9)],
    indirect=["backend"],
)
def test_options_that_change_at_every_step(average, backend):
    rng = np.random.default_rng(1)
    params = draw(rng)
    rule = rules.AdamW()
    reference = Reference(params, rule, 0.01, average)
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Optimizer(mine, rule, lr=0.01, average=average, backend=backend.name)
    for t, options in enumerate(2 * CYCLE):
        grads = draw(rng)
        if options.get("skip_nonfinite") and t < len(CYCLE):
            grads[-1][-1] = np.inf
        reference.step(grads, **options)
        opt.step([backend.asarray(g) for g in grads], **options)
    reference.compare(opt, params, backend.to_numpy, np.float32)
    assert opt.step_count == 2 * len(CYCLE) - 1


def test_gradients_that_are_missing_and_parameters_that_join_late(backend):
    rng = np.random.default_rng(2)
    params = draw(rng)
    rule = rules.AdamW()
    reference = Reference(params, rule, 0.01)
    mine = [backend.asarray(p) for p in params]
    opt = gpuopt.Optimizer(mine, rule, lr=0.01, backend=backend.name)
    for t in range(10):
        grads = draw(rng)
        if t < 3:
            grads[1] = None  # joins at the fourth step
        if t % 3 == 1:
            grads[2] = None
        if t in (0, 6):
            grads[0][-1] = np.nan
        given = [g if g is None else backend.asarray(g) for g in grads]
        options = {"skip_nonfinite": True, "max_norm": 8.0}
        reference.step(grads, **options)
        opt.step(given, **options)
        if t not in (0, 6):
            assert opt.grad_norm == pytest.approx(reference.norm, rel=1e-6)
    assert opt.param_steps == {"0": 8, "1": 6, "2": 5}
    assert reference.times == [8, 6, 5]
    for k in range(3):
        np.testing.assert_allclose(params[k], reference.params[k], rtol=1e-5)


@pytest.mark.parametrize("scaled", [True, False])
def test_one_norm_for_groups_with_their_own_rates_and_decays(scaled, backend):
    """The second group's learning rate is its own, the first follows the optimizer's schedule."""
    rng = np.random.default_rng(3)
    params = draw(rng)
    mine = [backend.asarray(p) for p in params]
    groups = [{"params": mine[:2], "weight_decay": 0.2}, {"params": mine[2], "lr": 0.02}]
    opt = gpuopt.AdamW(groups, lr=lambda t: 0.01 / t, weight_decay=0.1, backend=backend.name)
    parts = [
        Reference(params[:2], rules.AdamW(weight_decay=0.2), 0),
        Reference(params[2:], rules.AdamW(weight_decay=0.1), 0.02),
    ]
    options = {"max_norm": 2.0, **({"loss_scale": SCALE} if scaled else {})}
    for t in range(1, 7):
        if t == 4:
            opt.param_groups[1]["lr"] = parts[1].lr = 0.04
            opt.param_groups[0]["betas"] = (0.8, 0.99)
            parts[0].rule = rules.AdamW(weight_decay=0.2, betas=(0.8, 0.99))
        grads = draw(rng)
        norm = math.sqrt(sum(float(np.sum(g.astype("f8") ** 2)) for g in grads))
        norm /= options.get("loss_scale", 1)
        parts[0].lr = 0.01 / t
        clipped = [g.astype("f8") * 2 / (norm + 1e-6) for g in grads]
        if scaled:
            clipped = [g / SCALE for g in clipped]
        parts[0].step(clipped[:2])
        parts[1].step(clipped[2:])
        opt.step([[*map(backend.asarray, grads[:2])], backend.asarray(grads[2])], **options)
        assert opt.grad_norm == pytest.approx(norm, rel=1e-6)
    expected = [*parts[0].params, *parts[1].params]
    for p, q in zip(params, expected, strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5)


@pytest.mark.parametrize("backend", ["numpy", "cupy"], indirect=True)
def test_groups_that_need_kernels_of_their_own_share_norm_and_decision(backend):
    """Other formulas (maximize) and dtypes: a bad element in any of them skips all of them."""
    params = [np.ones(5, "f4"), np.ones(300, "f8"), np.ones(40, "f4")]
    mine = [backend.asarray(p) for p in params]
    groups = [{"params": mine[:2]}, {"params": mine[2], "maximize": True}]
    opt = gpuopt.SGD(groups, lr=0.5, backend=backend.name)
    for bad in (0, 1, 2, None):
        grads = [np.ones_like(p) for p in params]
        if bad is not None:
            grads[bad][-1] = np.inf
        given = [backend.asarray(g) for g in grads]
        opt.step([given[:2], given[2]], max_norm=1.0, skip_nonfinite=True)
        assert opt.step_count == (bad is None)
        assert all((p == 1).all() for p in params) == (bad is not None)
    step = 0.5 / math.sqrt(345)
    for p, sign in zip(params, (-1, -1, 1), strict=True):
        np.testing.assert_allclose(p, 1 + sign * step, rtol=1e-6)
    assert opt.grad_norm == pytest.approx(math.sqrt(345), rel=1e-15)
