"""Mini-batches from lists of arrays: chunks that continue each other, or one example each."""

import sys
from collections import deque

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
        batches = gpuopt.minibatches(*pair, **options, rng=seed, chunks=True)
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


def test_an_array_of_two_that_belong_together_is_no_chunk_of_the_other():
    with pytest.raises(ValueError, match="given one after another, not in a list"):
        gpuopt.minibatches([np.zeros((4, 2)), np.zeros(4)], batch_size=2)


IMAGES = [np.full((3, 4), k) for k in range(10)]
LABELS = np.arange(10)


def numbers(batches):
    """Which examples come, where every element of an example is its number."""
    return [[int(i) for i in np.unique(x)] for x in batches]


@pytest.mark.parametrize("collection", [list, deque, lambda x: dict(enumerate(x)).values()])
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_a_list_that_is_longer_than_a_batch_holds_examples(collection, axis):
    found = list(gpuopt.minibatches(collection(IMAGES), batch_size=4, axis=axis, rng=1))
    stacked = np.stack(IMAGES, axis)
    expected = gpuopt.minibatches(stacked, batch_size=4, axis=axis, rng=1)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, y)
    assert sorted(k for batch in numbers(found) for k in batch) == list(range(10))


@pytest.mark.parametrize("labels", [LABELS, list(LABELS), list(np.eye(10)), LABELS[:, np.newaxis]])
def test_as_many_arrays_as_there_are_labels_are_examples(labels):
    batches = gpuopt.minibatches(IMAGES, labels, 4, rng=1)
    for x, y in batches:
        assert x.shape[1:] == (3, 4)
        y = y.argmax(axis=1) if y.shape[1:] == (10,) else y
        np.testing.assert_array_equal(x[:, 0, 0], y.reshape(-1))
    assert len(batches) == 3


def test_without_shuffle_examples_keep_their_order():
    batches = gpuopt.minibatches(IMAGES, batch_size=4, shuffle=False)
    assert numbers(batches) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_tensors_are_stacked_by_torch():
    torch = pytest.importorskip("torch")
    batches = gpuopt.minibatches([torch.full((3, 4), k) for k in range(10)], LABELS, 4, rng=1)
    for x, y in batches:
        assert isinstance(x, torch.Tensor)
        assert x[:, 1, 2].tolist() == y.tolist()


def test_memory_maps_that_are_one_example_each_are_read_into_memory(tmp_path):
    files = []
    for k, image in enumerate(IMAGES):
        np.save(tmp_path / f"{k}.npy", image)
        files.append(np.load(tmp_path / f"{k}.npy", mmap_mode="r"))
    for x, y in gpuopt.minibatches(files, LABELS, 4, rng=1):
        assert type(x) is np.ndarray
        np.testing.assert_array_equal(x[:, 2, 3], y)


def test_as_many_rows_as_there_are_labels_are_chunks():
    chunks = [np.arange(6).reshape(3, 2), np.arange(6, 12).reshape(3, 2)]
    for x, y in gpuopt.minibatches(chunks, np.arange(6), 2, rng=1):
        np.testing.assert_array_equal(x, np.stack([2 * y, 2 * y + 1], axis=1))


@pytest.mark.parametrize(
    ("arrays", "size"),
    [
        ((IMAGES,), 10),  # fewer than a batch: they may be files
        ((IMAGES[:1],), 1),
        ((IMAGES, IMAGES), 4),  # images and masks, or chunks of both
        ((IMAGES, list(np.eye(10))), 10),  # or chunks that do not fit together
        (([x[:1] for x in IMAGES], LABELS), 4),  # either way ten, of other shapes
    ],
)
def test_where_nothing_tells_chunks_from_examples_the_user_must(arrays, size):
    with pytest.raises(
        ValueError, match=r"chunks=False if .*numpy\.stack\(X\).*chunks=True"
    ) as said:
        gpuopt.minibatches(*arrays, batch_size=size)
    assert len(str(said.value)) < 500
    first = gpuopt.minibatches(*arrays, batch_size=size, chunks=False, shuffle=False)
    x = next(iter(first)) if len(arrays) == 1 else next(iter(first))[0]
    np.testing.assert_array_equal(x, np.stack(arrays[0][:size]))


def test_chunks_that_are_said_to_be_chunks():
    batches = gpuopt.minibatches(IMAGES, batch_size=4, shuffle=False, chunks=True)
    assert [x.shape for x in batches] == [(4, 4)] * 7 + [(2, 4)]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (lambda: list(zip(IMAGES, LABELS, strict=True)), TypeError, r"numpy\.stack\(\[x for x, y"),
        (lambda: [[x, y] for x, y in zip(IMAGES, LABELS, strict=True)], TypeError, "numpy.stack"),
        (lambda: zip(IMAGES, LABELS, strict=True), TypeError, "leave it out.*numpy.stack"),
        (lambda: tuple(IMAGES), TypeError, r"numpy\.stack\(X\)"),
        (lambda: (np.zeros((4, 2)), np.zeros(4)), TypeError, "one after another"),
        (lambda: {"X": np.zeros((4, 2)), "Y": np.zeros(4)}, TypeError, "one after another"),
        (lambda: range(10), TypeError, "got int.*single examples"),
        (lambda: [1, 2, 3], TypeError, r"numpy\.asarray\(X\)"),
    ],
)
def test_what_is_never_cut_into_rows(given, error, words):
    with pytest.raises(error, match=words) as said:
        list(gpuopt.minibatches(given(), batch_size=2))
    assert len(str(said.value)) < 500


def test_a_zip_from_a_function_is_refused_too_and_one_of_chunks_is_taken():
    def both():
        return zip(IMAGES, IMAGES, strict=True)

    with pytest.raises(TypeError, match="leave it out"):
        iter(gpuopt.minibatches(both, batch_size=4))
    found = list(gpuopt.minibatches(both, batch_size=4, chunks=True))
    assert [(x.shape, y.shape) for x, y in found] == [((4, 4), (4, 4))] * 7 + [((2, 4), (2, 4))]


def test_examples_cannot_arrive():
    with pytest.raises(ValueError, match=r"numpy\.stack\(list\(X\)\)"):
        gpuopt.minibatches((x for x in IMAGES), batch_size=4, chunks=False)
    with pytest.raises(TypeError, match="chunks must be True or False"):
        gpuopt.minibatches(IMAGES, batch_size=4, chunks=1)


def test_a_data_set_of_torch_is_told_to_be_stacked():
    data = pytest.importorskip("torch.utils.data")
    torch = sys.modules["torch"]
    given = data.TensorDataset(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(TypeError, match=r"got TensorDataset; stack its examples: numpy\.stack"):
        gpuopt.minibatches(given, batch_size=2)


def test_masks_stay_with_what_they_mask():
    X = np.ma.masked_array(np.arange(10), np.arange(10) % 3 == 0)
    for parts in ([X[:4], X[4:]], list(X.reshape(10, 1))):
        found = np.ma.concatenate(list(gpuopt.minibatches(parts, batch_size=3, shuffle=False)))
        assert found.reshape(-1).tolist() == X.tolist()


@pytest.mark.parametrize(
    ("X", "Y", "axis", "words"),
    [
        ((6, 2), (1, 6), 0, r"Try Y\.ravel\(\)$"),
        ((6, 2), (3, 6), 0, r"Try Y\.T$"),
        ((2, 6), (6, 1), 1, r"Try Y\.T$"),
        ((2, 6), (6, 3), 1, r"Try Y\.T$"),
        ((2, 6), (1, 6), 0, "pass axis=1$"),
        ((6, 2), (6, 1), 1, "pass axis=0$"),
        ((2, 6), (6,), 1, r"Y has shape \(6,\), so it has no axis 1; try Y\.reshape\(1, -1\)"),
    ],
)
def test_labels_that_lie_otherwise_are_told_the_call_that_turns_them(X, Y, axis, words):
    with pytest.raises(ValueError, match=words):
        gpuopt.minibatches(np.zeros(X), np.zeros(Y), 2, axis=axis)
