"""Mini-batches from tables and columns of other libraries: rows by position, as NumPy arrays."""

import numpy as np
import pytest

import gpuopt
from tests.optional import optional

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10)


class Column:
    """As a column of pandas: indexing it asks for labels, here the positions backwards."""

    def __init__(self, values):
        self.values, self.dtype, self.shape = values, values.dtype, values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, label):
        if isinstance(label, tuple):
            raise KeyError("key of type tuple not found and not a MultiIndex")
        return self.values[::-1][label]

    def to_numpy(self):
        return self.values


class Frame:
    """As a table of pandas: it has no dtype of its own, and iterating gives the columns' names."""

    columns = ("a", "b")

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def __iter__(self):
        return iter(self.columns)

    def to_numpy(self):
        return self.values


def stand_ins():
    return Frame, Column


def of_pandas():
    pandas = optional("pandas")
    backwards = np.arange(10)[::-1]
    return (lambda x: pandas.DataFrame(x, index=backwards)), (
        lambda y: pandas.Series(y, index=backwards)
    )


def of_polars():
    polars = pytest.importorskip("polars")
    return polars.DataFrame, polars.Series


def of_xarray():
    xarray = pytest.importorskip("xarray")
    return (lambda x: xarray.DataArray(x, {"a": np.arange(10)[::-1]}, ("a", "b"))), (
        lambda y: xarray.DataArray(y, {"a": np.arange(10)[::-1]}, ("a",))
    )


KINDS = [stand_ins, of_pandas, of_polars, of_xarray]


def check(given, expected, **options):
    for found, right in zip(
        gpuopt.minibatches(*given, batch_size=4, rng=3, **options),
        gpuopt.minibatches(*expected, batch_size=4, rng=3, **options),
        strict=True,
    ):
        both = [(found, right)] if len(given) == 1 else list(zip(found, right, strict=True))
        for a, b in both:
            assert type(a) is np.ndarray
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_come_by_their_position_whatever_the_index(kind, shuffle):
    table, column = kind()
    check((table(X), column(Y)), (X, Y), shuffle=shuffle)
    check((X, column(Y)), (X, Y), shuffle=shuffle)
    check((table(X),), (X,), shuffle=shuffle)
    check((column(Y),), (Y,), shuffle=shuffle)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_a_table_are_examples_along_axis_1(kind):
    table, _ = kind()
    check((table(X),), (X,), axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_that_arrive_may_be_tables(kind):
    table, column = kind()
    batches = gpuopt.minibatches(lambda: [(table(X), column(Y))] * 2, batch_size=5, rng=1)
    for x, y in batches:
        assert type(x) is np.ndarray
        np.testing.assert_array_equal(x[:, 0], 2 * y)


def test_what_holds_no_numbers_of_one_type_is_told():
    pandas = optional("pandas")
    mixed = pandas.DataFrame({"age": [1.0, 2.0], "name": ["a", "b"]})
    with pytest.raises(TypeError, match=r"a DataFrame whose .* encode its text.*astype\(float\)"):
        gpuopt.minibatches(mixed, batch_size=1)
    (texts,) = gpuopt.minibatches(mixed["name"], batch_size=2, shuffle=False)
    assert list(texts) == ["a", "b"]


def test_a_table_that_has_no_numpy_array_is_refused():
    class Lazy:
        columns = ("a",)

        def __iter__(self):
            return iter(self.columns)

    with pytest.raises(TypeError, match=r"X must be an array.*got Lazy; try numpy.asarray\(X\)"):
        gpuopt.minibatches(Lazy(), batch_size=2)


class NoNumbers:
    """An array of another library that does not take positions."""

    shape, dtype = (4, 2), np.dtype(float)

    def __getitem__(self, index):
        raise IndexError("only labels")


def test_an_array_that_takes_no_positions_is_refused_at_once():
    with pytest.raises(TypeError, match=r"NoNumbers .*\(only labels\); try numpy.asarray\(Y\)"):
        gpuopt.minibatches(np.zeros(4), NoNumbers(), 2)


def test_sparse_matrices_stay_sparse():
    sparse = pytest.importorskip("scipy.sparse")
    for given in (sparse.csr_matrix(X), [sparse.csr_matrix(X[:3]), sparse.csr_matrix(X[3:])]):
        for x, y in gpuopt.minibatches(given, Y, 4, rng=1):
            np.testing.assert_array_equal(x.toarray(), X[y])
    with pytest.raises(TypeError, match=r"coo_matrix of scipy.*try X\.toarray\(\)"):
        gpuopt.minibatches(sparse.coo_matrix(X), batch_size=2)


@pytest.mark.parametrize("kind", [stand_ins, of_pandas, of_polars])
def test_a_table_is_normalised_as_its_array_is(kind):
    table, _ = kind()
    normalize = gpuopt.normalizer(table(X))
    np.testing.assert_array_equal(normalize(table(X)), gpuopt.normalizer(X)(X))
    np.testing.assert_allclose(normalize.inverse(normalize(table(X))), X)
