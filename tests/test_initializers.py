"""Initialisers: the variance of what they draw, and of what passes through ten layers."""

import numpy as np
import pytest

from gpuopt.initializers import he, lecun, xavier

ALL = [he, xavier, lecun]


def expected(f, n_in, n_out):
    return {he: 2 / n_in, xavier: 2 / (n_in + n_out), lecun: 1 / n_in}[f]


LAYOUTS = [
    ((400, 300), {}, 300, 400),
    ((300, 400), {"in_axis": 0, "out_axis": 1}, 300, 400),
    ((40, 30, 5, 3), {}, 30 * 15, 40 * 15),
    ((5, 3, 30, 40), {"in_axis": -2, "out_axis": -1}, 30 * 15, 40 * 15),
    ((1, 20000), {}, 20000, 1),
]


@pytest.mark.parametrize("f", ALL)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize(("shape", "axes", "n_in", "n_out"), LAYOUTS)
def test_the_variance(f, distribution, shape, axes, n_in, n_out):
    W = f(shape, rng=0, distribution=distribution, **axes)
    assert W.shape == shape
    variance, tolerance = expected(f, n_in, n_out), 5 / np.sqrt(W.size)  # > 3.5 standard errors
    assert W.var() == pytest.approx(variance, rel=tolerance)
    assert abs(W.mean()) < tolerance * np.sqrt(variance)


@pytest.mark.parametrize("f", ALL)
def test_the_distributions(f):
    variance = expected(f, 300, 200)
    uniform = f((200, 300), rng=0, distribution="uniform", dtype=np.float64)
    bound = np.sqrt(3 * variance)
    assert 0.9999 * bound < np.abs(uniform).max() <= bound
    normal = np.sort(np.abs(f((200, 300), rng=0, dtype=np.float64)).ravel() / np.sqrt(variance))
    for share, quantile in ((0.6827, 1), (0.9545, 2), (0.9973, 3)):
        assert normal[int(share * normal.size)] == pytest.approx(quantile, rel=0.02)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("f", ALL)
def test_a_seed_fixes_the_numbers_and_the_dtype_rounds_them(f, distribution):
    W = f((6, 5), rng=3, dtype=np.float64, distribution=distribution)
    again = f((6, 5), rng=np.random.default_rng(3), distribution=distribution)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, W.astype(np.float32))
    half = f([6, 5], rng=3, dtype="float16", distribution=distribution)
    np.testing.assert_array_equal(half, W.astype(np.float16))
    assert (f((6, 5), rng=4, distribution=distribution) != again).any()
    assert (f((6, 5), distribution=distribution) != f((6, 5), distribution=distribution)).any()


def passed_through_ten_layers(initial, activation, n=300, m=200):
    """How many times as large as the inputs the activations of the tenth layer are: the root of the
    mean square."""
    rng = np.random.default_rng(0)
    A = X = rng.standard_normal((n, m)) / 4  # where tanh is nearly straight
    for _ in range(10):
        A = activation(initial((n, n), rng=rng) @ A)
    return np.sqrt((A * A).mean() / (X * X).mean())


def relu(z):
    return np.maximum(z, 0)


def straight(z):
    return z


@pytest.mark.parametrize(
    ("initial", "activation", "low", "high"),
    [
        (he, relu, 0.5, 2),
        (lecun, straight, 0.7, 1.4),
        (xavier, straight, 0.7, 1.4),
        (lecun, np.tanh, 0.5, 1),
        (xavier, np.tanh, 0.5, 1),
        (lecun, relu, 0, 0.05),  # 2^-5: half is thrown away ten times
        (lambda shape, rng: 0.01 * rng.standard_normal(shape), np.tanh, 0, 1e-6),
        (lambda shape, rng: 0.01 * rng.standard_normal(shape), relu, 0, 1e-8),
        (lambda shape, rng: rng.standard_normal(shape), relu, 1e9, np.inf),
    ],
)
def test_signals_keep_their_size_vanish_or_explode(initial, activation, low, high):
    assert low < passed_through_ten_layers(initial, activation) < high


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"shape": (4,)}, ValueError, r"shape \(4,\) has no n_in and n_out; for biases take nump"),
        ({"shape": ()}, ValueError, "no n_in and n_out"),
        ({"shape": (4, 0)}, ValueError, r"shape\[1\] must be at least 1, got 0"),
        ({"shape": (-4, 2)}, ValueError, r"shape\[0\] must be at least 1, got -4"),
        ({"shape": (4, 2.0)}, TypeError, r"shape\[1\] must be a whole number, got 2.0"),
        ({"shape": 4}, TypeError, r"shape must be a tuple such as \(n_out, n_in\), got 4"),
        ({"shape": "45"}, TypeError, "shape must be a tuple"),
        ({"in_axis": 2}, ValueError, r"in_axis is 2, but shape \(4, 3\) has 2 axes"),
        ({"out_axis": -3}, ValueError, "out_axis is -3, but"),
        ({"out_axis": -1}, ValueError, "in_axis and out_axis are both axis 1 of"),
        ({"in_axis": 1.0}, TypeError, "in_axis must be a whole number"),
        ({"dtype": int}, TypeError, "dtype must be a floating type, as numpy.float32, got int64"),
        ({"dtype": complex}, TypeError, "dtype must be a floating type"),
        ({"distribution": "gamma"}, ValueError, "must be 'normal' or 'uniform', got 'gamma'"),
        ({"rng": "x"}, TypeError, "rng must be None, a seed"),
    ],
)
@pytest.mark.parametrize("f", ALL)
def test_what_cannot_be_used_raises(f, change, error, words):
    with pytest.raises(error, match=words):
        f(**{"shape": (4, 3), **change})
