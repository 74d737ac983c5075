"""Mini-batches: aligned, every example once, a new order every epoch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gpuopt

sizes = st.integers(1, 60)


@settings(deadline=None)
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


@settings(deadline=None)
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


def test_cupy_arrays_stay_cupy_and_have_the_order_of_the_cpu(cupy_stand_in):
    X = np.arange(40).reshape(2, 20)
    there = gpuopt.minibatches(*map(cupy_stand_in.asarray, (X, -X)), 6, axis=1, rng=1)
    here = gpuopt.minibatches(X, -X, 6, axis=1, rng=1)
    for device, host in zip(there, here, strict=True):
        for found, expected in zip(device, host, strict=True):
            assert isinstance(found, cupy_stand_in.ndarray)
            np.testing.assert_array_equal(found.get(), expected)


def test_one_array_gives_arrays_and_three_give_triples():
    X, W = np.arange(10), np.arange(10.0)
    (alone,) = gpuopt.minibatches(X, batch_size=10, rng=2)
    assert isinstance(alone, np.ndarray)
    ((x, y, w),) = gpuopt.minibatches(X, -X, W, batch_size=10, rng=2)
    np.testing.assert_array_equal(x, alone)
    np.testing.assert_array_equal(y, -alone)
    np.testing.assert_array_equal(w, alone.astype(float))


def test_options_by_position_and_by_name_are_the_same():
    X = np.arange(24).reshape(4, 6)
    ways = [
        gpuopt.minibatches(X, X, 4, 1, False, None, True),
        gpuopt.minibatches(X, X, np.int64(4), axis=1, shuffle=False, drop_last=True),
        gpuopt.minibatches(X, X, batch_size=4, axis=1, shuffle=False, drop_last=True),
        gpuopt.minibatches(X=X, Y=X, batch_size=4, axis=1, shuffle=False, drop_last=True),
        gpuopt.minibatches(X, Y=X, batch_size=4, axis=1, shuffle=False, drop_last=True),
    ]
    for batches in ways:
        ((x, y),) = batches
        np.testing.assert_array_equal(x, X[:, :4])
        np.testing.assert_array_equal(y, X[:, :4])


def test_the_two_ends_are_batch_and_stochastic_gradient_descent():
    X = np.arange(5)
    for size in (5, 7):
        (everything,) = gpuopt.minibatches(X, batch_size=size)
        assert sorted(everything) == list(X)
    assert [x.shape for x in gpuopt.minibatches(X, batch_size=1)] == [(1,)] * 5


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be a whole number, got 2.0"),
        ({"batch_size": True}, TypeError, "batch_size must be a whole number, got True"),
        ({"axis": 2}, ValueError, r"X has shape \(4, 6\), so it has no axis 2"),
        ({"axis": -3}, ValueError, r"X has shape \(4, 6\), so it has no axis -3"),
        ({"axis": "0"}, TypeError, "axis must be a whole number"),
        ({"shuffle": 3}, TypeError, "shuffle must be True or False, got 3"),
        ({"drop_last": "no"}, TypeError, "drop_last must be True or False, got 'no'"),
        ({"Y": np.zeros(5)}, ValueError, "X and Y have 4 and 5 examples.*pass axis=1"),
        ({"Y": [1, 2, 3, 4]}, TypeError, r"Y must be .*a list of int; try numpy.asarray\(Y\)"),
        ({"X": []}, TypeError, "X must be .*got a list of nothing"),
        ({"X": (np.zeros(4), 5)}, TypeError, "X must be .*got a tuple of int and ndarray"),
        ({"X": {"a": 1}}, TypeError, "X must be .*got dict"),
        ({"X": iter([])}, TypeError, "X must be .*one iterable .*alone"),
        ({"X": np.zeros((0, 2)), "Y": np.zeros(0)}, ValueError, "no examples"),
        ({"rng": "7"}, TypeError, "rng must be None, a seed, or a numpy.random.Generator"),
        ({"rng": True}, TypeError, "rng must be None"),
        ({"rng": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"size": 3}, TypeError, "minibatches: got an unexpected .* 'size'; .* batch_size, axis,"),
        ({"arrays": 3}, TypeError, "minibatches: multiple values for argument 'arrays'"),
        ({"Y": None}, TypeError, "Y is None; leave it out"),
    ],
)
def test_what_cannot_be_used_raises_at_once(change, error, words):
    given = {"X": np.zeros((4, 6)), "Y": np.zeros((4, 1)), "batch_size": 2, **change}
    with pytest.raises(error, match=words):
        gpuopt.minibatches(**given)


def test_more_arrays_are_named_by_their_place():
    X = np.zeros(4)
    with pytest.raises(ValueError, match="X, Y and array 2 have 4, 4 and 3 examples"):
        gpuopt.minibatches(X, X, X[1:], batch_size=2)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([], "minibatches: missing a required argument: 'batch_size'; .* batch_size, axis,"),
        ([np.zeros(4)], "minibatches: missing a required argument: 'batch_size'"),
        ([None, 4], "Y is None; leave it out"),
        ([np.zeros(4), None], "batch_size must be a whole number, got None"),
        ([np.zeros(4), 2, 0, True, None, False, 7], "minibatches: too many positional arguments"),
    ],
)
def test_what_is_missing_and_what_is_too_much(others, words):
    with pytest.raises(TypeError, match=words):
        gpuopt.minibatches(np.zeros(4), *others)


@pytest.mark.parametrize("given", [(np.zeros(4), np.zeros(4)), {"X": np.zeros(4)}, "data", 7])
def test_what_is_neither_an_array_nor_chunks(given):
    with pytest.raises(TypeError, match="X must be an array, or a list of arrays"):
        gpuopt.minibatches(given, batch_size=2)


def test_the_course_s_5_000_000_examples_make_5_000_mini_batches_of_1_000():
    X = np.lib.stride_tricks.as_strided(np.zeros(3), (3, 5_000_000), (8, 0))  # (n_x, m)
    Y = np.broadcast_to(np.zeros((1, 1)), (1, 5_000_000))
    batches = gpuopt.minibatches(X, Y, 1000, axis=1, shuffle=False)
    assert len(batches) == 5000
    shapes = {(x.shape, y.shape) for x, y in batches}
    assert shapes == {((3, 1000), (1, 1000))}


def test_one_batch_of_all_and_batches_of_one():
    X = np.arange(7)
    assert [len(x) for x in gpuopt.minibatches(X, batch_size=7)] == [7]  # batch gradient descent
    assert [len(x) for x in gpuopt.minibatches(X, batch_size=9)] == [7]
    assert [len(x) for x in gpuopt.minibatches(X, batch_size=1)] == [1] * 7  # stochastic
