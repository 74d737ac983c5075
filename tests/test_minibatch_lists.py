"""Mini-batches from lists of arrays: the same batches as from one array."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuopt

lengths = st.lists(st.integers(0, 20), min_size=1, max_size=5).filter(sum)


def data(m, axis):
    """X of 3 features and Y of 1, with examples along `axis`, no two alike."""
    X, Y = np.arange(3.0 * m).reshape(3, m), -np.arange(m)[np.newaxis]
    return (X.T, Y.T) if axis == 0 else (X, Y)


def in_chunks(array, lengths, axis):
    return np.split(array, np.cumsum(lengths)[:-1], axis)


def check_equal(found, expected):
    for batch, other in zip(found, expected, strict=True):
        for a, b in zip(batch, other, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype


@settings(deadline=None)
@given(
    lengths,
    st.integers(1, 70),
    st.sampled_from([0, 1, -1]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
def test_as_from_one_array(lengths, batch_size, axis, shuffle, drop_last, seed):
    X, Y = data(sum(lengths), axis)
    options = {"batch_size": batch_size, "axis": axis, "shuffle": shuffle, "drop_last": drop_last}
    chunks = [in_chunks(array, lengths, axis) for array in (X, Y)]
    whole = gpuopt.minibatches(X, Y, **options, rng=seed)
    for pair in (chunks, (chunks[0], Y), (X, chunks[1])):
        batches = gpuopt.minibatches(*pair, **options, rng=seed)
        assert len(batches) == len(whole)
        check_equal(batches, gpuopt.minibatches(X, Y, **options, rng=seed))


def test_tensors():
    torch = pytest.importorskip("torch")
    X, Y = map(torch.from_numpy, data(10, 1))
    batches = gpuopt.minibatches([X[:, :3], X[:, 3:]], Y, 4, axis=1, rng=3)
    expected = list(gpuopt.minibatches(X, Y, 4, axis=1, rng=3))
    for found, other in zip(batches, expected, strict=True):
        assert isinstance(found[0], torch.Tensor)
        assert all(torch.equal(a, b) for a, b in zip(found, other, strict=True))


def test_cupy_arrays(cupy_stand_in, monkeypatch):
    def concatenate(pieces, axis):
        assert all(isinstance(x, cupy_stand_in.ndarray) for x in pieces)
        return cupy_stand_in.asarray(np.concatenate([x.host for x in pieces], axis))

    cupy_stand_in.concatenate = concatenate
    monkeypatch.setattr(cupy_stand_in.ndarray, "__module__", "cupy")
    X, Y = data(10, 1)
    chunks = [cupy_stand_in.asarray(x) for x in in_chunks(X, [3, 7], 1)]
    batches = gpuopt.minibatches(chunks, cupy_stand_in.asarray(Y), 4, axis=1, rng=3)
    check_equal(
        [[a.get() for a in batch] for batch in batches],
        gpuopt.minibatches(X, Y, 4, axis=1, rng=3),
    )


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        ([np.zeros((2, 3)), np.zeros((2, 4))], ValueError, r"X\[1\] has .*\(4,\).*X\[0\] has"),
        ([np.zeros((2, 3)), np.zeros((2, 3), "f4")], ValueError, r"X\[1\] has .*float32.*float64"),
        ([np.zeros((2, 3)), np.zeros(2)], ValueError, r"X\[1\] has .*agree"),
        ([np.zeros((2, 3)), np.zeros(())], ValueError, r"X\[1\] has shape \(\).* no axis 0"),
        ([np.zeros((2, 3)), [[1, 2, 3]] * 2], TypeError, "X must be .*a list of list and ndarray"),
        ([np.zeros((2, 3))], ValueError, "X and Y have 2 and 4 examples"),
        ([np.zeros((3, 3)), np.zeros((1, 3))], ValueError, r"of X hold \[3, 1\].* of Y \[2, 2\]"),
    ],
)
def test_chunks_that_do_not_fit_raise_at_once(X, error, words):
    with pytest.raises(error, match=words):
        gpuopt.minibatches(X, [np.zeros(2), np.zeros(2)], 2)
