"""Rules that users write, with whole steps around them."""

from dataclasses import dataclass

import numpy as np
import pytest

import gpuopt
from tests.test_custom_rules import Named


@dataclass(frozen=True)
class Swap(gpuopt.Rule):
    """p and its buffer change places; the gradient is kept in a second one."""

    state = ("b", "seen")

    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, b, seen, s):
        return b - s.lr * g, p, g


def test_a_rule_that_moves_its_arguments_about(backend):
    """Average and skip look at the new and the old values, whatever the rule returns."""
    p, q = np.array([1.0, 2.0, 3.0], np.float32), np.zeros(3, np.float32)
    mine = backend.asarray(p)
    opt = gpuopt.Optimizer(mine, Swap(), lr=0.5, average=0.5, backend=backend.name)
    expected_p, b, average = p.astype("f8"), np.zeros(3), np.zeros(3)
    for t, value in enumerate((6.0, np.inf, 60.0, 12.0)):
        g = np.array([value, 3, -1.5], np.float32)
        options = {"loss_scale": 3.0, "max_value": 2.0, "zero_grads": True}
        opt.step(backend.asarray(g), skip_nonfinite=True, max_norm=1e6, **options)
        assert (g == 0).all()
        if np.isinf(value):
            continue
        seen = np.array([2, 1, -0.5])
        expected_p, b = b - 0.5 * seen, expected_p
        average = 0.5 * average + 0.5 * expected_p
        weight = 1 - 0.5 ** (t + (t == 0))  # one step of the four was skipped
        np.testing.assert_allclose(p, expected_p, rtol=1e-6)
        found = {k: backend.to_numpy(a) for k, a in opt.state["0"].items()}
        np.testing.assert_allclose(found["b"], b, rtol=1e-6)
        np.testing.assert_allclose(found["seen"], seen, rtol=1e-6)
        np.testing.assert_allclose(found["average"], average / weight, rtol=1e-6)
    assert opt.step_count == 3
    assert (q == 0).all()


@dataclass(frozen=True)
class Cosine(gpuopt.Rule):
    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, s):
        return p - s.lr * np.cos(g)


@pytest.mark.parametrize("backend", ["numpy"], indirect=True)
def test_a_formula_that_only_numpy_runs_has_every_option(backend):
    p, g = np.ones(5), np.full(5, 30.0)
    opt = gpuopt.Optimizer(p, Cosine(), lr=0.5, average=0.5, backend=backend.name)
    opt.step(g, max_norm=np.inf, max_value=2.0, loss_scale=3.0, zero_grads=True)
    np.testing.assert_allclose(p, 1 - 0.5 * np.cos(2))
    np.testing.assert_array_equal(opt.averaged_params(), p)
    assert (g == 0).all()


@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
def test_scalars_that_change_their_names_are_refused_inside_whole_steps(backend):
    p = np.zeros(3)
    opt = gpuopt.Optimizer(p, Named(), lr=1.0, backend=backend.name)
    opt.step(np.ones(3), max_norm=1.0)
    with pytest.raises(ValueError, match=r"gave \['b', 'a', .* at this step"):
        opt.step(np.ones(3), max_norm=1.0)
    assert opt.step_count == 1
    np.testing.assert_array_equal(p, 1)
