"""The network: its gradients, its cost, its start."""

import numpy as np
import pytest

from gpuopt.gradcheck import check_gradients
from gpuopt.training import network


@pytest.mark.parametrize("sizes", [(4, 3), (5, 7, 3), (6, 5, 4, 2), (3, 8, 8, 8, 5)])
@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_gradients_are_the_slopes_of_the_cost(sizes, l2):
    rng = np.random.default_rng(len(sizes))
    params = network.initialise(sizes, rng, np.float64)
    for b in params[1::2]:
        b += rng.normal(size=b.shape)
    X, Y = rng.normal(size=(sizes[0], 11)), rng.integers(0, sizes[-1], (1, 11))
    found = check_gradients(
        lambda p: network.cost_and_gradients(p, X, Y, l2)[0],
        params,
        lambda p: network.cost_and_gradients(p, X, Y, l2)[1],
    )
    assert found, found


def test_the_l2_term_is_lambda_over_2m_times_the_squared_weights():
    rng = np.random.default_rng(0)
    params = network.initialise((4, 5, 3), rng, np.float64)
    X, Y = rng.normal(size=(4, 10)), rng.integers(0, 3, (1, 10))
    plain, _ = network.cost_and_gradients(params, X, Y)
    cost, _ = network.cost_and_gradients(params, X, Y, 0.3)
    squares = sum((W**2).sum() for W in params[::2])
    assert cost - plain == pytest.approx(0.3 / 20 * squares)


def test_he_initialisation():
    W1, b1, _, _ = network.initialise((400, 500, 10), np.random.default_rng(0))
    assert W1.dtype == np.float32
    assert W1.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert not b1.any()
    double, zeros, *_ = network.initialise((400, 500, 10), np.random.default_rng(0), np.float64)
    np.testing.assert_array_equal(double.astype(np.float32), W1)
    assert double.dtype == zeros.dtype == np.float64
    assert (double != W1).any()


def test_a_large_logit_does_not_overflow():
    params = [np.array([[1e4], [0.0]]), np.zeros((2, 1))]
    cost, grads = network.cost_and_gradients(params, np.array([[1.0]]), np.array([[1]]))
    assert cost == pytest.approx(1e4)
    assert np.isfinite(grads[0]).all()


def test_evaluation_in_blocks_is_evaluation_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    params = network.initialise((4, 5, 3), rng, np.float64)
    X, Y = rng.normal(size=(4, 50)), rng.integers(0, 3, (1, 50))
    at_once = network.evaluate(params, X, Y)
    monkeypatch.setattr(network, "BLOCK", 7)
    assert network.evaluate(params, X, Y) == pytest.approx(at_once)
    assert at_once[0] == pytest.approx(network.cost_and_gradients(params, X, Y)[0])
