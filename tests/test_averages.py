"""Exponentially weighted averages: the course's numbers, exact sums, types and axes."""

import math
from fractions import Fraction

import numpy as np
import pytest

from gpuopt.averages import Average, effective_window, ewma
from gpuopt.training.figure import smoothed

BETAS = [0.0, 0.5, 0.9, 0.98, 0.999, 0.999999]


def recurrence(x, beta, corrected):
    """The definition, exactly, in fractions."""
    beta, v, values = Fraction(beta), Fraction(0), []
    for t, theta in enumerate(x, 1):
        v = beta * v + (1 - beta) * Fraction(theta)
        values.append(v / (1 - beta**t) if corrected else v)
    return values


def streamed(x, beta, corrected):
    average, values = Average(beta, corrected), []
    for theta in x:
        average.update(theta)
        values.append(average.value)
    return np.array(values)


def test_the_course_s_first_days():
    days = [40.0, 49.0]
    assert ewma(days, 0.98, bias_correction=False) == pytest.approx([0.8, 0.0196 * 40 + 0.02 * 49])
    expected = [40, (0.0196 * 40 + 0.02 * 49) / 0.0396]
    assert ewma(days, 0.98) == pytest.approx(expected, rel=1e-14)
    assert streamed(days, 0.98, True) == pytest.approx(expected, rel=1e-14)


def test_the_course_s_hundredth_day():
    theta = np.random.default_rng(0).normal(50, 10, 100)
    v = ewma(theta, 0.9, bias_correction=False)
    weights = [0.1, 0.1 * 0.9, 0.1 * 0.9**2, 0.1 * 0.9**3]
    assert v[99] - 0.9**4 * v[95] == pytest.approx(theta[[99, 98, 97, 96]] @ weights, rel=1e-12)
    assert v[99] == pytest.approx(sum(0.1 * 0.9**j * theta[99 - j] for j in range(100)), rel=1e-12)


def test_the_course_s_windows():
    assert [effective_window(beta) for beta in (0.9, 0.98, 0.5, 0)] == pytest.approx([10, 50, 2, 1])
    assert round(0.9 ** effective_window(0.9), 2) == 0.35
    for beta in (0.9, 0.98):
        impulse = ewma(np.eye(1, 60)[0], beta, bias_correction=False)
        after = round(effective_window(beta))
        assert impulse[after] / impulse[0] == pytest.approx(1 / math.e, abs=0.02)


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("beta", BETAS)
def test_exact_sums(beta, corrected):
    x = np.random.default_rng(1).uniform(1, 2, 200)
    expected = [float(v) for v in recurrence(x, beta, corrected)]
    np.testing.assert_allclose(ewma(x, beta, corrected), expected, rtol=2e-15)
    np.testing.assert_allclose(streamed(x, beta, corrected), expected, rtol=2e-14)


@pytest.mark.parametrize("beta", BETAS)
def test_a_million_values(beta):
    x = np.random.default_rng(2).uniform(1, 2, 10**6)
    v = ewma(x, beta, bias_correction=False)
    np.testing.assert_allclose(v[1:], beta * v[:-1] + (1 - beta) * x[1:], rtol=1e-14)
    c = ewma(x, beta)
    correction = np.array([float(1 - Fraction(beta) ** t) for t in (1, 2, 3, 1000)])
    np.testing.assert_allclose(c[[0, 1, 2, 999]] * correction, v[[0, 1, 2, 999]], rtol=1e-14)
    assert 1 <= c.min() <= c.max() <= 2
    np.testing.assert_allclose(ewma(np.full(10**6, 3.0), beta), 3.0, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i8", "u1", "?", "c8", "c16"])
def test_types(dtype):
    """The result has the type of x where it can, and no error but that of rounding to it."""
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 3, 500).astype(dtype)
    if x.dtype.kind == "c":
        x.imag = rng.uniform(-3, 3, 500)
    kept, result = x.copy(), x.dtype if x.dtype.kind in "fc" else np.dtype(float)
    exact = ewma(x.real.astype(float), 0.999) + 1j * ewma(x.imag.astype(float), 0.999)
    for averaged in (ewma(x, 0.999), streamed(x, 0.999, True)):
        assert averaged.dtype == result
        tolerance = max(np.finfo(result).eps, 1e-13)
        np.testing.assert_allclose(averaged, exact, rtol=float(tolerance))
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, np.int64(-2)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_axes(axis, order):
    x = np.asarray(np.random.default_rng(4).normal(size=(5, 1, 9)), order=order)[::-1]
    expected = np.apply_along_axis(lambda row: streamed(row, 0.9, True), axis, x)
    np.testing.assert_allclose(ewma(x, 0.9, axis=axis), expected, rtol=1e-13)
    assert ewma(x.tolist(), 0.9, axis=axis).shape == x.shape


def test_no_values_and_one():
    assert ewma([], 0.9).shape == (0,)
    assert ewma(np.zeros((3, 0, 2), np.float32), 0.9, axis=1).shape == (3, 0, 2)
    assert ewma(np.zeros((3, 0)), 0.9).shape == (3, 0)
    assert ewma([7], 0.98).tolist() == pytest.approx([7])


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_stays_from_there_on(bad, beta, corrected):
    x = np.random.default_rng(5).normal(3, 1, (5000, 2))
    clean = ewma(x, beta, corrected)
    x[1000, 0] = bad
    expected = clean.copy()
    expected[1000 : None if beta else 1001, 0] = bad
    np.testing.assert_array_equal(ewma(x, beta, corrected), expected)
    tail = streamed(x[998:1004], beta, corrected)
    assert np.array_equal(tail[2:, 0] == bad, expected[1000:1004, 0] == bad)
    assert np.isfinite(tail[:2]).all()
    assert np.isfinite(tail[:, 1]).all()


@pytest.mark.filterwarnings("ignore:invalid value")
def test_infinities_of_both_signs_are_nan_from_the_second_on():
    v = ewma([1, math.inf, 2, -math.inf, 3], 0.5)
    np.testing.assert_array_equal(v, [1, math.inf, math.inf, math.nan, math.nan])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"beta": 1}, ValueError, r"beta must be in \[0, 1\), got 1.0"),
        ({"beta": -0.1}, ValueError, "beta must be in"),
        ({"beta": "0.9"}, TypeError, "beta must be a number"),
        ({"bias_correction": 1}, TypeError, "bias_correction must be True or False, got 1"),
        ({"x": 3.0}, ValueError, r"x has shape \(\), so it has no axis 0"),
        ({"axis": 2}, ValueError, r"x has shape \(4, 2\), so it has no axis 2"),
        ({"axis": -3}, ValueError, "it has no axis -3"),
        ({"axis": 0.0}, TypeError, "axis must be a whole number"),
        ({"x": np.array(["1"])}, TypeError, "x must be an array of numbers, got one of <U1"),
    ],
)
def test_what_cannot_be_averaged_raises(change, error, words):
    given = {"x": np.ones((4, 2)), "beta": 0.9, **change}
    with pytest.raises(error, match=words):
        ewma(**given)
    if change.keys() <= {"beta", "bias_correction"}:
        with pytest.raises(error, match=words):
            Average(given["beta"], given.get("bias_correction", True))
    if change.keys() == {"beta"}:
        with pytest.raises(error, match=words):
            effective_window(given["beta"])


def test_the_smoothed_curve_of_training_is_the_geometric_mean():
    losses = np.random.default_rng(8).uniform(0.1, 2, 300)
    expected = np.exp([float(v) for v in recurrence(np.log(losses), 0.9, True)])
    np.testing.assert_allclose(smoothed(losses), expected, rtol=1e-13)
    losses[7] = math.nan
    assert np.isfinite(smoothed(losses)).tolist() == [True] * 7 + [False] + [True] * 292
