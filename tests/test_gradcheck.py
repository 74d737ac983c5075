"""Gradient checking: right gradients pass, and every bug is found where it is."""

import numpy as np
import pytest

from gpuopt.gradcheck import check_gradients

RNG = np.random.default_rng(0)
M, L2 = 20, 0.7
X, Y = RNG.normal(size=(5, M)), RNG.normal(size=(2, M))


def parameters(dtype=np.float64):
    """W1, b1, W2, b2 of a tanh network with five inputs, four hidden units and two outputs."""
    rng = np.random.default_rng(1)
    shapes = {"W1": (4, 5), "b1": (4, 1), "W2": (2, 4), "b2": (2, 1)}
    return {name: rng.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def cost(p, X=X, Y=Y):
    A = np.tanh(p["W1"] @ X + p["b1"])
    Z = p["W2"] @ A + p["b2"] - Y
    return (Z * Z).sum() / (2 * M) + L2 / (2 * M) * sum((p[W] * p[W]).sum() for W in ("W1", "W2"))


def gradients(p, X=X, Y=Y):
    A = np.tanh(p["W1"] @ X + p["b1"])
    dZ2 = (p["W2"] @ A + p["b2"] - Y) / M
    dZ1 = (p["W2"].T @ dZ2) * (1 - A * A)
    return {
        "W1": dZ1 @ X.T + L2 / M * p["W1"],
        "b1": dZ1.sum(axis=1, keepdims=True),
        "W2": dZ2 @ A.T + L2 / M * p["W2"],
        "b2": dZ2.sum(axis=1, keepdims=True),
    }


@pytest.mark.parametrize("directions", [None, 5])
@pytest.mark.parametrize("grads", [gradients, gradients(parameters())])
def test_right_gradients_pass(grads, directions):
    found = check_gradients(cost, parameters(), grads, directions=directions, rng=0)
    assert found.passed
    assert bool(found) is True
    assert found.error < 1e-8
    assert sorted(p.name for p in found.worst) == sorted(BUGS.values())
    assert found.worst[0].error == max(p.error for p in found.worst)
    assert "passed" in str(found)


def forgot_1_over_m(p, g):
    g["b2"] = g["b2"] * M


def forgot_l2(p, g):
    g["W2"] -= L2 / M * p["W2"]


def wrong_sign_in_one_element(p, g):
    g["W1"][2, 3] *= -1


def forgot_it(p, g):
    g["b1"] = None


BUGS = {
    forgot_1_over_m: "params['b2']",
    forgot_l2: "params['W2']",
    wrong_sign_in_one_element: "params['W1']",
    forgot_it: "params['b1']",
}


@pytest.mark.parametrize("directions", [None, 3])
@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_found_in_its_parameter_and_nowhere_else(bug, directions):
    def buggy(p):
        grads = gradients(p)
        bug(p, grads)
        return grads

    found = check_gradients(cost, parameters(), buggy, directions=directions, rng=3)
    assert not found
    assert [p.name for p in found.worst if not p.passed] == [BUGS[bug]]
    assert found.worst[0].name == BUGS[bug]
    assert found.error > 1e-3
    assert "FAILED" in str(found)
    assert (found.worst[0].index is None) == (directions is not None)


def test_the_worst_element_is_named_with_both_slopes():
    grads = gradients(parameters())
    right = grads["W1"][2, 3]
    wrong_sign_in_one_element({}, grads)
    worst = check_gradients(cost, parameters(), grads).worst[0]
    assert worst.index == (2, 3)
    assert worst.analytic == -right
    assert worst.numeric == pytest.approx(right, rel=1e-8)


def test_the_errors_are_those_of_the_formula():
    p, g = np.array([1.0, 2.0]), np.array([2.0, 5.0])  # the slopes of the sum of squares are 2, 4
    found = check_gradients(lambda p: (p * p).sum(), p, g)
    expected = 1 / (np.hypot(2, 5) + np.hypot(2, 4))
    assert found.error == found.worst[0].error == pytest.approx(expected, rel=1e-8)


def test_a_small_gradient_is_checked_by_itself():
    """Beside a gradient of 1e4, one that is off by a tenth of 1e-2 is within the tolerance."""
    params = {"large": np.ones(3), "small": np.ones(3)}
    grads = {"large": np.full(3, 1e4), "small": np.full(3, 1.1e-2)}
    found = check_gradients(lambda p: (1e4 * p["large"] + 1e-2 * p["small"]).sum(), params, grads)
    assert found.error < 1e-6
    assert not found
    assert [p.name for p in found.worst if not p.passed] == ["params['small']"]


def test_two_sided_differences_are_off_by_eps_squared():
    """The course's example: theta^3 at 1 with 0.01 gives 3.0001; one-sided it would be 3.0301."""

    def numeric(eps):
        grad = np.full((), 3.0)
        found = check_gradients(lambda t: t**3, np.array(1.0), grad, eps=eps, tolerance=1e-2)
        assert found.worst[0].index == ()
        assert str(found).splitlines()[2].split()[2] == "-"
        return found.worst[0].numeric

    assert numeric(0.01) == pytest.approx(3.0001, abs=1e-12)
    one_sided = (1.01**3 - 1) / 0.01
    assert one_sided == pytest.approx(3.0301, abs=1e-12)
    assert (numeric(0.02) - 3) / (numeric(0.01) - 3) == pytest.approx(4, rel=1e-6)


@pytest.mark.parametrize(("directions", "calls"), [(None, 2 + 2 * 12), (4, 2 + 2 * 4)])
def test_every_step_is_eps_long_and_takes_two_calls(directions, calls):
    p, lengths = np.zeros((3, 4)), []

    def cost(q):
        lengths.append(np.linalg.norm(q))
        return q.sum()

    assert check_gradients(cost, p, np.ones((3, 4)), eps=1e-4, directions=directions)
    np.testing.assert_allclose(lengths, [0, 0] + [1e-4] * (calls - 2))


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4, 1e8])
def test_the_step_grows_with_the_parameter(size):
    theta = size * np.array([1.0, -3.0])
    assert check_gradients(lambda t: (t**3).sum(), theta, 3 * theta**2)
    assert check_gradients(lambda t: (t**3).sum(), theta, 3 * theta**2, directions=4, rng=0)


def test_gradients_in_float32_are_allowed_their_rounding():
    p, x = parameters(np.float32), X.astype(np.float32)
    given = gradients(p, x, Y.astype(np.float32))
    assert given["W1"].dtype == np.float32
    found = check_gradients(cost, p, given)
    assert found
    assert found.tolerance == pytest.approx(3.5e-4, rel=0.02)
    strict = check_gradients(cost, p, given, tolerance=1e-9)
    assert not strict
    assert "a function in place of grads" in strict.remark
    assert check_gradients(cost, p, gradients).tolerance == 1e-6


@pytest.mark.parametrize("directions", [None, 4])
def test_complex_parameters_along_both_parts(directions):
    z = RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))
    c = RNG.normal(size=(2, 3)) + 1j * RNG.normal(size=(2, 3))

    def cost(p):
        return (np.abs(p[0]) ** 2).sum() + (c.conj() * p[0]).real.sum() + p[1] ** 2

    params, right = [z, np.array(2.0)], [2 * z + c, np.array(4.0)]
    assert check_gradients(cost, params, right, directions=directions, rng=0)
    for wrong in (right[0].conj(), right[0].real):
        found = check_gradients(cost, params, [wrong, right[1]], directions=directions, rng=0)
        assert [p.name for p in found.worst if not p.passed] == ["params[0]"]
    right[0][1, 2] += 0.5j
    worst = check_gradients(cost, params, right).worst[0]
    assert worst.index == (1, 2)
    assert worst.analytic == right[0][1, 2]
    assert worst.numeric == pytest.approx(right[0][1, 2] - 0.5j)
