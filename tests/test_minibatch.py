"""Mini-batches: aligned, every example once, a new order every epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpuopt

sizes = st.integers(1, 60)


@given(m=sizes, batch_size=st.integers(1, 70), axis=st.sampled_from([0, 1, -1]), seed=sizes)
def test_an_epoch_holds_every_example_once_and_aligned(m, batch_size, axis, seed):
    X, Y = np.stack([np.arange(m), -np.arange(m)]), np.arange(m)[np.newaxis]
    if axis == 0:
        X, Y = X.T, Y.T
    batches = gpuopt.minibatches(X, Y, batch_size, axis=axis, rng=seed)
    epoch = list(batches)
    assert len(epoch) == len(batches) == -(-m // batch_size)
    for x, y in epoch:
        first, second = np.moveaxis(x, axis, -1)
        np.testing.assert_array_equal(first, np.moveaxis(y, axis, -1)[0])
        np.testing.assert_array_equal(second, -first)
    lengths = [y.size for _, y in epoch]
    assert set(lengths[:-1]) <= {batch_size}
    assert 0 < lengths[-1] <= batch_size
    assert sorted(np.concatenate([y.ravel() for _, y in epoch])) == list(range(m))


@given(m=sizes, batch_size=st.integers(1, 70))
def test_drop_last_leaves_out_the_smaller_batch(m, batch_size):
    batches = gpuopt.minibatches(np.arange(m), np.arange(m), batch_size, drop_last=True)
    assert [len(x) for x, _ in batches] == [batch_size] * (m // batch_size)
    assert len(batches) == m // batch_size


def order(batches):
    return [int(i) for x, _ in batches for i in x]


def test_every_epoch_has_another_order_and_a_seed_fixes_them_all():
    X = np.arange(100)
    first, second = (gpuopt.minibatches(X, X, 7, rng=5) for _ in range(2))
    epochs = [order(first) for _ in range(3)]
    assert epochs == [order(second) for _ in range(3)]
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order(gpuopt.minibatches(X, X, 7, rng=np.random.default_rng(5))) == epochs[0]
    assert order(gpuopt.minibatches(X, X, 7, rng=6)) != epochs[0]
    assert order(gpuopt.minibatches(X, X, 7)) != order(gpuopt.minibatches(X, X, 7))


def test_without_shuffle_batches_are_views_in_the_data_s_order():
    X, Y = np.arange(10), np.arange(10)
    batches = list(gpuopt.minibatches(X, Y, 4, shuffle=False))
    assert [x.tolist() for x, _ in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(np.shares_memory(x, X) for x, _ in batches)


def test_shuffled_batches_are_copies():
    X = np.arange(10)
    assert not any(np.shares_memory(x, X) for x, _ in gpuopt.minibatches(X, X, 4))


def test_tensors():
    torch = pytest.importorskip("torch")
    X = np.arange(20)
    there = gpuopt.minibatches(torch.from_numpy(X), torch.from_numpy(X), 6, rng=1)
    assert order(there) == order(gpuopt.minibatches(X, X, 6, rng=1))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be a whole number, got 2.0"),
        ({"batch_size": True}, TypeError, "batch_size must be a whole number, got True"),
        ({"axis": 2}, ValueError, r"X has shape \(4, 6\), so it has no axis 2"),
        ({"axis": "0"}, TypeError, "axis must be a whole number"),
        ({"Y": np.zeros(5)}, ValueError, "4 and 5 examples.*pass axis=1"),
        ({"Y": [1, 2, 3, 4]}, TypeError, "Y must be an array, got a list; try numpy.asarray"),
        ({"X": np.zeros((0, 2)), "Y": np.zeros(0)}, ValueError, "no examples"),
        ({"rng": "7"}, TypeError, "rng must be None, a seed, or a numpy.random.Generator"),
        ({"rng": True}, TypeError, "rng must be None"),
        ({"rng": -1}, ValueError, "seed must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_used_raises_at_once(change, error, words):
    given = {"X": np.zeros((4, 6)), "Y": np.zeros((4, 1)), "batch_size": 2, **change}
    with pytest.raises(error, match=words):
        gpuopt.minibatches(**given)
