"""Normalising inputs: the training set's mean and variance, exactly where that matters."""

import numpy as np
import pytest

from gpuopt import normalization
from gpuopt.normalization import normalizer
from tests.training import remote

RNG = np.random.default_rng(0)
X = RNG.normal(3, 2, (40, 5))


def test_mean_and_variance_are_the_course_s():
    m = len(X)
    mu = sum(X) / m
    sigma_squared = sum((x - mu) ** 2 for x in X) / m
    found = normalizer(X)
    np.testing.assert_allclose(found.mean, mu, rtol=1e-14)
    np.testing.assert_allclose(found.std**2, sigma_squared, rtol=1e-14)
    np.testing.assert_allclose(found(X), (X - mu) / np.sqrt(sigma_squared), rtol=1e-12)
    np.testing.assert_allclose(found(X).mean(axis=0), 0, atol=1e-15)
    np.testing.assert_allclose(found(X).std(axis=0), 1, rtol=1e-14)


def test_a_test_set_and_a_batch_get_the_training_set_s_numbers():
    found = normalizer(X)
    test = RNG.normal(0, 9, (7, 5))
    np.testing.assert_array_equal(found(test), (test - X.mean(0)) / X.std(0))
    np.testing.assert_array_equal(found(X[3:5]), found(X)[3:5])
    np.testing.assert_array_equal(found(X[:1]), found(X)[:1])


@pytest.mark.parametrize("axis", [1, -1])
def test_examples_in_columns(axis):
    rows, columns = normalizer(X), normalizer(X.T, axis=axis)
    np.testing.assert_allclose(columns.mean, rows.mean, rtol=1e-14)
    np.testing.assert_allclose(columns.std, rows.std, rtol=1e-14)
    np.testing.assert_allclose(columns(X.T[:, :9]), rows(X[:9]).T, rtol=1e-12)
    np.testing.assert_allclose(columns.inverse(columns(X.T)), X.T, rtol=1e-12)


def test_examples_of_any_shape():
    images = X.reshape(10, 5, 4).transpose(1, 0, 2)
    found = normalizer(images, axis=1)
    assert found.mean.shape == found.std.shape == (5, 4)
    np.testing.assert_allclose(found(images)[2, :, 3], normalizer(images[2, :, 3])(images[2, :, 3]))
    assert normalizer(X[:, 0]).mean.shape == ()


@pytest.mark.parametrize("value", [0.1, -1e8 / 3, 0.0, 1e-300, 7])
def test_a_constant_feature_becomes_exactly_zero(value):
    """The mean of 40 times 0.1 is not 0.1, so that rounding must not be taken for deviations."""
    constant = X.copy()
    constant[:, 2] = value
    found = normalizer(constant)
    assert found.std[2] == 1
    assert found.mean[2] == value
    assert not found(constant)[:, 2].any()
    test = np.full((3, 5), value + 0.25)
    np.testing.assert_array_equal(found(test)[:, 2], test[:, 2] - value)
    assert (found.std[[0, 1, 3, 4]] != 1).all()


def test_nearly_constant_is_not_constant():
    a = np.array([1.0, 1.0, 1.0 + 1e-9, 1.0])
    assert normalizer(a)(a)[2] == pytest.approx(np.sqrt(3), rel=1e-6)


def in_blocks(monkeypatch, elements):
    monkeypatch.setattr(normalization, "BLOCK", elements)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block", [12, 500, 2**20])
def test_a_large_mean_leaves_the_deviations_right(dtype, block, monkeypatch):
    in_blocks(monkeypatch, block)
    mean = 1e8 if dtype == np.float64 else 1e6
    large = (mean + RNG.normal(0, 3, (1000, 2))).astype(dtype)
    found = normalizer(large)
    exact = large.astype(np.longdouble)
    np.testing.assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(found.std, exact.std(axis=0), rtol=1e-9)


def test_one_block_more_changes_only_the_rounding(monkeypatch):
    whole = normalizer(X)
    assert whole.mean.tobytes() == X.mean(axis=0).tobytes()
    assert whole.std.tobytes() == X.std(axis=0).tobytes()
    for elements in (1, 7, 35, 200):
        in_blocks(monkeypatch, elements)
        found = normalizer(X)
        np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-14)
        np.testing.assert_allclose(found.std, whole.std, rtol=1e-13)
        np.testing.assert_allclose(normalizer(X.T, axis=-1).std, whole.std, rtol=1e-13)


@pytest.mark.parametrize("order", [1, -1])
def test_a_feature_that_is_constant_in_every_block_is_not_constant(order, monkeypatch):
    in_blocks(monkeypatch, 1)
    assert normalizer(np.arange(5.0)[::order]).std == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(("axis", "lengths"), [(0, [16, 16, 8]), (1, [2, 2, 1])])
def test_a_memory_map_is_read_in_blocks_and_once(axis, lengths, tmp_path, monkeypatch):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    in_blocks(monkeypatch, 80)
    sizes = []

    class Watched:
        shape, dtype, ndim, size = mapped.shape, mapped.dtype, mapped.ndim, mapped.size

        def __getitem__(self, index):
            sizes.append(mapped[index].shape[axis])
            return mapped[index]

    found, expected = normalizer(Watched(), axis), normalizer(X, axis)
    assert sizes == lengths
    for there in (found, normalizer(mapped, axis)):
        assert there.mean.tobytes() == expected.mean.tobytes()
        assert there.std.tobytes() == expected.std.tobytes()
    np.testing.assert_array_equal(found(mapped), expected(X))


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("f2", "f2"), ("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("i8", "f4"), ("?", "f4")],
)
def test_the_dtype_of_the_result_and_of_the_sums(dtype, result):
    given = (X > 3) if dtype == "?" else np.round(10 * np.abs(X)).astype(dtype)
    found, expected = normalizer(given), normalizer(given.astype(float))
    assert found.mean.dtype == found.std.dtype == np.float64
    np.testing.assert_array_equal(found.mean, expected.mean)
    normal = found(given)
    assert normal.dtype == result
    np.testing.assert_array_equal(normal, expected(given.astype(float)).astype(result))
    assert found.inverse(normal).dtype == result
    rounding = 0.05 if dtype == "f2" else 1e-5
    np.testing.assert_allclose(found.inverse(normal), given.astype(float), atol=rounding)


def test_inputs_are_not_changed():
    before = X.copy()
    found = normalizer(X)
    assert not np.shares_memory(found(X), X)
    np.testing.assert_array_equal(X, before)


def test_cupy_arrays_and_numbers_found_on_the_host(monkeypatch):
    cupy = remote.installed(monkeypatch)
    there, on_host = normalizer(cupy.array(X)), normalizer(X)
    assert type(there.mean) is np.ndarray
    np.testing.assert_array_equal(there.std, on_host.std)
    normal = on_host(cupy.array(X[:4].astype(np.float32)))
    assert type(normal) is remote.Remote
    np.testing.assert_array_equal(normal.get(), on_host(X[:4].astype(np.float32)))
    assert type(on_host.inverse(normal)) is remote.Remote


def with_(value, *places):
    bad = X.copy()
    for place in places:
        bad[place] = value
    return bad


@pytest.mark.parametrize(
    ("given", "axis", "error", "words"),
    [
        (
            with_(np.nan, (3, 1), (4, 3)),
            0,
            ValueError,
            "NaN or infinity in 2 of 5 .* in 1, 3;",
        ),
        (
            with_(-np.inf, (3, 4)),
            0,
            ValueError,
            "NaN or infinity in 1 of 5 .* in 4; fill",
        ),
        (with_(np.nan, (3, 1)).reshape(40, 5, 1), 0, ValueError, r"in \(1, 0\);"),
        (np.full((3, 9), np.nan), 0, ValueError, r"in 9 of 9 features, in 0, 1, 2, 3, 4, \.\.\.;"),
        (
            with_(1e300, (0, 2)),
            0,
            ValueError,
            "too large to be normalised in 1 .* in 2;",
        ),
        (np.zeros((0, 3)), 0, ValueError, r"shape \(0, 3\): there are no examples along axis 0"),
        (X, 2, ValueError, r"shape \(40, 5\), so it has no axis 2"),
        (np.float64(3), 0, ValueError, "no axis 0"),
        (X, 0.0, TypeError, "axis must be a whole number"),
        (X + 1j, 0, TypeError, "array of real numbers, got an array of complex128"),
        (X.astype(str), 0, TypeError, "array of real numbers"),
        ([[1.0], [2.0]], 0, TypeError, "array of real numbers, got a list"),
    ],
)
def test_what_cannot_be_normalised_raises(given, axis, error, words):
    with pytest.raises(error, match=words):
        normalizer(given, axis)


@pytest.mark.parametrize("shape", [(40, 4), (5, 40), (40, 5, 1), (40,)])
def test_other_features_than_the_training_set_s_raise(shape):
    for f in (normalizer(X), normalizer(X).inverse):
        with pytest.raises(ValueError, match=r"X has shape .* the training set have \(5,\)"):
            f(np.ones(shape))


def test_differences_that_cannot_be_squared_are_refused():
    with pytest.raises(ValueError, match=r"too small to be squared in 1 of 2 features, in 0;"):
        normalizer(np.array([[0.0, 1.0], [1e-200, 2.0]]))
