"""Mini-batches from chunks that arrive one by one: every example once, one chunk held at a time."""

import itertools
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuopt


def chunks(lengths, axis=0):
    """(X, Y) chunks of these lengths; X holds 10 times what Y numbers."""
    first = 0
    for length in lengths:
        Y = np.arange(first, first + length)[:, np.newaxis]
        X = np.hstack([10 * Y, 10 * Y + 1])
        yield (X.T, Y.T) if axis else (X, Y)
        first += length


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=6).filter(sum),
    st.integers(1, 50),
    st.sampled_from([0, 1, -1]),
    st.booleans(),
    st.booleans(),
)
def test_an_epoch_holds_every_example_once_and_aligned(lengths, size, axis, shuffle, drop_last):
    m = sum(lengths)
    options = {"axis": axis, "shuffle": shuffle, "rng": 1, "drop_last": drop_last}
    epoch = list(gpuopt.minibatches(lambda: chunks(lengths, axis), batch_size=size, **options))
    for x, y in epoch:
        np.testing.assert_array_equal(
            np.moveaxis(x, axis, -1), 10 * np.moveaxis(y, axis, -1) + [[0], [1]]
        )
    full, rest = divmod(m, size)
    assert [y.size for _, y in epoch] == [size] * full + [rest] * (rest > 0 and not drop_last)
    found = [int(i) for _, y in epoch for i in y.ravel()]
    assert len(set(found)) == len(found)
    if not shuffle:
        assert found == list(range(len(found)))
    if not drop_last:
        # shuffled inside a chunk, and chunks in their order
        ends = np.cumsum([0, *lengths])
        for low, high in itertools.pairwise(ends):
            assert sorted(found[low:high]) == list(range(low, high))


def order(batches):
    return [int(i) for _, y in batches for i in y.ravel()]


def test_every_epoch_has_another_order_and_a_seed_fixes_them_all():
    first, second = (gpuopt.minibatches(lambda: chunks([50, 50]), 16, rng=5) for _ in range(2))
    epochs = [order(first) for _ in range(3)]
    assert epochs == [order(second) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert all(np.diff(epoch).min() < 0 for epoch in epochs)


class Alive:
    """Counts which of the arrays that were added are still alive."""

    def __init__(self):
        self.refs = []

    def add(self, array):
        self.refs.append(weakref.ref(array))

    def __len__(self):
        return sum(ref() is not None for ref in self.refs)


@pytest.mark.parametrize("shuffle", [True, False])
def test_one_chunk_and_one_batch_are_held_at_a_time(shuffle):
    chunks, batches = Alive(), Alive()

    def loaded():
        for length in (40, 3, 2, 40, 40):
            assert len(chunks) == 0, "a chunk is held while the next one is loaded"
            chunk = np.zeros((length, 2))
            chunks.add(chunk)
            yield chunk
            del chunk

    for batch in gpuopt.minibatches(loaded, batch_size=8, shuffle=shuffle):
        assert len(chunks) <= 1
        assert len(batches) == 0, "a batch is held after its turn"
        batches.add(batch)
        del batch
    assert len(batches.refs) == 16
    assert len(chunks.refs) == 5


def test_an_iterable_gives_an_epoch_each_time_and_a_generator_one():
    class Files:
        def __iter__(self):
            return chunks([5, 4])

    batches = gpuopt.minibatches(Files(), 4, rng=0)
    assert [sorted(order(batches)) for _ in range(2)] == [list(range(9))] * 2
    once = gpuopt.minibatches(chunks([5, 4]), 4, rng=0)
    assert sorted(order(once)) == list(range(9))
    with pytest.raises(RuntimeError, match="pass the function that makes it"):
        iter(once)


def test_a_chunk_may_be_an_array_or_a_list_and_an_epoch_of_one_array_gives_arrays():
    found = list(gpuopt.minibatches(lambda: [np.arange(3), np.arange(3, 5)], 2, shuffle=False))
    assert [x.tolist() for x in found] == [[0, 1], [2, 3], [4]]
    ((x, y),) = gpuopt.minibatches(lambda: [[np.arange(3), np.arange(3)]], 3)
    np.testing.assert_array_equal(x, y)


def test_the_number_of_batches_is_not_known():
    batches = gpuopt.minibatches(lambda: chunks([5]), 2)
    with pytest.raises(TypeError, match="chunks that arrive one by one have no len"):
        len(batches)
    assert len(list(gpuopt.prefetch(batches))) == 3


ZEROS = np.zeros(3)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ([], ValueError, "0 chunks came, which hold no examples"),
        ([(np.zeros((0, 2)), np.zeros(0))], ValueError, "1 chunks came, which hold no examples"),
        ([(ZEROS, np.zeros(4))], ValueError, "chunk 0: X and Y have 3 and 4 examples"),
        (
            [ZEROS, (ZEROS, ZEROS)],
            ValueError,
            "chunk 1: it has 2 arrays, expected 1",
        ),
        ([()], ValueError, "chunk 0: it has 0 arrays"),
        (
            [np.zeros((3, 2)), np.zeros((3, 1))],
            ValueError,
            "chunk 1: X has .* the chunk before has",
        ),
        ([ZEROS, 7], TypeError, "chunk 1: X must be an array.*got int"),
        ([(ZEROS, [1, 2, 3])], TypeError, "chunk 0: Y must be an array.*list of int"),
        (7, TypeError, "the function of chunks must return an iterable, got 7"),
    ],
)
def test_chunks_that_do_not_fit_raise_when_they_come(given, error, words):
    with pytest.raises(error, match=words):
        list(gpuopt.minibatches(lambda: given, batch_size=2))
