"""The scalars of every rule at step counts and hyper-parameters where they could break down."""

import warnings

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.parity.cases import every, name


@pytest.mark.parametrize("t", [1, 2, 5, 6, 7, 10**4, 10**7, 2**24 + 1, 2**31])
@pytest.mark.parametrize("rule", [r for cls in rules.ALL for r in every(cls)], ids=name)
def test_all_are_finite(rule, t):
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        values = rule.scalars(1e-3, t, **rule.carried)
    assert np.isfinite([float(x) for x in values.values()]).all(), values


@pytest.mark.parametrize("beta2", [0.0, 1 / 3, 0.5, 0.6, 0.67, 0.9, 0.99999])
def test_radam_needs_no_root_of_a_negative_number(beta2):
    """2 / (1 - beta2) - 1 is 1 to 4 for the first: then there is no r."""
    rule = rules.RAdam(betas=(0.9, beta2))
    with np.errstate(all="raise", under="ignore"):
        found = [rule.scalars(1.0, t)["rectified"] for t in range(1, 30)]
    assert any(found) == (beta2 > 2 / 3)
    assert not any(found[:5])


def test_radam_approaches_adam():
    rule, t = rules.RAdam(), 10**7
    assert rule.scalars(1e-3, t)["step_size"] == pytest.approx(1e-3, rel=1e-12)


@pytest.mark.parametrize("cls", [rules.Adamax, rules.Adagrad, rules.Adadelta, rules.NAdam])
def test_zero_gradients_in_float16_are_no_nan(cls):
    """eps is below the smallest float16: state and arithmetic are float32."""
    p = np.ones(9, "f2")
    opt = gpuopt.Optimizer(p, cls(), lr=0.1, backend="numpy")
    for _ in range(3):
        opt.step(np.zeros(9, "f2"))
    assert (p == 1).all()


def test_an_infinite_gradient_moves_lion_by_its_learning_rate():
    p = np.ones(3)
    opt = gpuopt.Lion(p, lr=0.25, weight_decay=0.0, backend="numpy")
    opt.step(np.array([np.inf, -np.inf, np.nan]))
    np.testing.assert_array_equal(p, [0.75, 1.25, np.nan])
