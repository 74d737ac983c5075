"""Gradient checking: kinks, coarse rounding and other things that look like a bug, or hide one."""

import numpy as np
import pytest

from gpuopt.gradcheck import EPS, check_gradients

P = np.random.default_rng(0).normal(size=(3, 4))


def squares(p):
    return (p * p).sum() / 2


def relu(p):
    return np.maximum(p, 0).sum()


@pytest.mark.parametrize("place", [0.3, -0.3])
def test_a_kink_within_one_step_is_no_bug(place):
    p = np.array([1.0, place * EPS, -2.0])
    assert check_gradients(relu, p, (p > 0) * 1.0)
    assert not check_gradients(relu, p, (p <= 0) * 1.0)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_a_kink_exactly_there_is_named(slope):
    found = check_gradients(relu, np.array([1.0, 0, -2]), np.array([1, slope, 0]))
    assert not found
    assert found.worst[0].index == (1,)
    assert "kink there, as ReLU has at 0, with slopes 0 and 1 on its two sides" in found.remark
    assert found.remark in str(found)


def test_a_wrong_slope_beside_a_kink_is_not_excused():
    found = check_gradients(relu, np.array([1.0, 0, -2]), np.array([1, 1.5, 0]))
    assert not found
    assert "kink" not in found.remark


def coarse(p):
    return squares(p.astype(np.float32))


def hidden_in_float32(p):
    return float(np.float64(np.tanh(p.astype(np.float32))).sum())


def slopes_of_tanh(p):
    return 1 - np.tanh(p) ** 2


def on_a_large_constant(p):
    return squares(p) + 1e9


@pytest.mark.parametrize(
    ("f", "grads"),
    [(coarse, P), (hidden_in_float32, slopes_of_tanh), (on_a_large_constant, P)],
)
def test_a_coarsely_rounded_cost_is_named(f, grads):
    found = check_gradients(f, P, grads)
    assert not found
    assert "rounded coarsely: something in f computes in float32" in found.remark


def test_a_larger_step_helps_where_the_cost_is_rounded_coarsely():
    assert check_gradients(coarse, P, P, eps=1e-2, tolerance=1e-3)


@pytest.mark.parametrize("directions", [None, 3])
@pytest.mark.parametrize("factor", [-1.0, 20.0, 0.5])
def test_a_factor_is_named(factor, directions):
    found = check_gradients(squares, P, factor * P, directions=directions)
    assert f"of params[0] is {factor:.5g} times the numeric one throughout" in found.remark


def test_no_remark_where_nothing_is_known():
    wrong = P.copy()
    wrong[0, 0] += 1
    assert check_gradients(squares, P, wrong).remark == ""
    assert check_gradients(squares, P, P).remark == ""
    slightly = P * (1 + 1e-8 * wrong)
    assert not (found := check_gradients(squares, P, slightly, tolerance=1e-10))
    assert found.remark == ""


def test_a_cost_that_ignores_its_argument_is_named():
    mine = [P.copy(), P.copy()]
    found = check_gradients(lambda p: squares(p[0]) + squares(mine[1]), mine, mine)
    assert [p.name for p in found.worst if not p.passed] == ["params[1]"]
    assert "does not change with params[1]; f must compute with" in found.remark


def test_a_gradient_of_rounding_noise_passes_beside_a_real_one():
    """As of a bias before batch normalisation: the cost hardly changes with b, and erratically."""

    def cost(p):
        return squares(p["W"]) + 1e-14 * np.sin(1e9 * p["b"]).sum()

    params = {"W": P.copy(), "b": P[0].copy()}
    dW = P.copy()
    found = check_gradients(cost, params, {"W": dW, "b": None})
    assert found
    bias = found.worst[0]
    assert bias.name == "params['b']"
    assert 0 < abs(bias.numeric) < 1e-8
    assert bias.error == 1
    dW[1, 1] *= 1.001
    found = check_gradients(cost, params, {"W": dW, "b": None})
    assert not found
    assert found.worst[0].name == "params['W']"


def test_the_table_of_many_parameters_is_short():
    params = [np.full(2, k + 1.0) for k in range(15)]
    found = check_gradients(lambda ps: sum(map(squares, ps)), params, [*params[:14], -params[14]])
    lines = str(found).splitlines()
    assert lines[0] == "gradient check FAILED: relative error 4.3e-01, at most 1.0e-06 may be"
    assert lines[2].split() == ["params[14]", "1.0e+00", "[0]", "-15", "15"]
    assert len(lines) == 14
    assert lines[-2] == "and 5 more parameters"


def test_a_diagnosis_that_cannot_look_further_is_left_out():
    """The cost is undefined a hundred steps away."""

    def cost(p):
        return np.sqrt(p + 10 * EPS).sum()

    with np.errstate(invalid="ignore"):
        found = check_gradients(cost, np.zeros(2), np.ones(2) * [1, 2])
    assert not found
    assert found.remark == ""
