"""Reading the headers of NumPy arrays in compiled code."""

import numpy as np
import pytest

from tests.optional import optional

optional("numba")

from gpuopt.kernels import headers_numba as headers  # noqa: E402 - needs Numba


def table(rows):
    return np.array(rows, np.int64)


def look(*arrays):
    """What `follow` is told of a tuple of arrays, all of them followed: None's address, active,
    begins, flags, looks and reaches; and tensors."""
    looks = [headers.expectation(a.shape, a.strides, a.dtype) for a in arrays]
    begins = np.cumsum([0, *map(len, looks)])
    reaches = [(k, 0, a.nbytes, a.dtype.alignment) for k, a in enumerate(arrays)]
    words = np.concatenate([np.array(x, np.int64) for x in looks])
    told = id(None), np.ones(len(arrays), bool), begins, 0, words, table(reaches)
    return told, np.zeros((len(arrays), 4), np.int64)


NOTHING = np.empty((0, 2), np.int64)


def test_the_layout_of_objects_is_known_here():
    assert headers.layout_is_known()


def test_addresses_are_followed():
    first = (np.zeros((2, 3), "f4"), np.zeros(5, "f8"), np.zeros((), "f4"))
    told, tensors = look(*first)
    for grads in (first, tuple(a.copy() for a in first), first):
        assert headers.follow(id(grads), *told, NOTHING, tensors) == 1
        assert tensors[:, 1].tolist() == [a.ctypes.data for a in grads]
        assert np.all(tensors[:, [0, 2, 3]] == 0)


def test_gradients_that_are_none_are_told_apart():
    grads = [np.zeros(3), np.zeros(4), np.zeros(5)]
    told, tensors = look(*grads)
    active = told[1]
    first = tensors.copy()
    for given, found in (
        ((0, 1, 2), 1),
        ((0, 2), 2),
        ((0, 2), 1),
        ((), 2),
        ((1,), 2),
        ((0, 1, 2), 2),
    ):
        tensors[:, 2] = np.where(active, 0, -1)  # rows for those of the step before
        first[:, 2] = tensors[:, 2]
        now = tuple(g if k in given else None for k, g in enumerate(grads))
        assert headers.follow(id(now), *told, NOTHING, tensors) == found
        assert active.tolist() == [k in given for k in range(3)]
        for k in given:
            first[k, 1] = grads[k].ctypes.data
        assert np.array_equal(tensors, first)


def test_a_gradient_without_memory_is_refused():
    reaches = table([(0, 0, 24, 8), (1, 0, 0, 8)])
    tensors = np.full((2, 4), 7, np.int64)
    assert not headers.relocate(table([0, 0]), reaches, NOTHING, tensors)
    assert headers.relocate(table([8, 0]), reaches, NOTHING, tensors), "one without elements may"
    assert tensors[:, 1].tolist() == [8, 0]


class Sub(np.ndarray):
    """Not exactly NumPy's array."""


@pytest.mark.parametrize(
    "other",
    [
        np.zeros((3, 2), "f4"),
        np.zeros((2, 3), "f4", order="F"),
        np.zeros((2, 6), "f4")[:, ::2],
        np.zeros((1, 2, 3), "f4"),
        np.zeros((2, 3, 1), "f4"),
        np.zeros(6, "f4"),
        np.zeros((2, 3), "i4"),
        np.zeros((2, 3), ">f4"),
        np.zeros((2, 3), "f8"),
        np.zeros((2, 3), "f4").view(Sub),
        1.0,
        [[0.0] * 3] * 2,
        "a text that is longer than an array's header is, so that nothing is read past its end",
    ],
    ids=lambda x: f"{type(x).__name__}{getattr(x, 'strides', '')}",
)
def test_anything_else_is_refused_and_nothing_written(other):
    good, other_one = np.zeros((2, 3), "f4"), np.zeros(4)
    told, tensors = look(other_one, good)
    tensors[:] = 7
    grads = (np.zeros(4), other)
    assert not headers.follow(id(grads), *told, NOTHING, tensors)
    assert np.all(tensors == 7)
    assert told[1].all()


def test_a_gradient_in_memory_that_is_written_is_refused():
    w = np.zeros(30)
    start = w.ctypes.data
    written = table([(start, start + 80), (start + 160, start + 200)])
    told, tensors = look(w[10:14])
    for k in range(27):
        grads = (w[k : k + 4],)
        refused = k < 10 or 16 < k < 25
        tensors[:] = 0
        assert headers.follow(id(grads), *told, written, tensors) != refused
    at_home = (w[:4],)
    tensors[0, 1] = w.ctypes.data
    assert headers.follow(id(at_home), *told, written, tensors), "checked by the plan"


def test_addresses_are_taken_where_they_fit():
    """Those of the gradients that a launch has, which may be others than the optimizer's first."""
    written = table([(1000, 1080), (1160, 1200)])
    reaches = table([(2, 0, 32, 8), (0, -16, 8, 4), (1, 0, 0, 4)])  # the last one is empty
    for moved, fits in (
        ([36, 1000, 48], True),
        ([1096, 1000, 1080], True),
        ([1092, 1000, 1080], False),  # 16 bytes before it are touched as well
        ([36, 1000, 1160], False),
        ([36, 1000, 52], False),  # not aligned
        ([36, 1003, 48], False),
    ):
        tensors = np.full((3, 4), 7, np.int64)
        assert headers.relocate(table(moved), reaches, written, tensors) is fits
        expected = [moved[2], moved[0], moved[1]] if fits else [7, 7, 7]
        assert tensors[:, 1].tolist() == expected
        assert np.all(tensors[:, [0, 2, 3]] == 7)
    tensors[:, 1] = [1000, 1160, 3]
    there = table([1160, 3, 1000])
    assert headers.relocate(there, reaches, written, tensors), "checked by the plan"
    tensors[1, 2] = -1  # has no gradient in this step
    assert headers.relocate(table([44, 0, 56]), reaches, written, tensors)
    assert tensors[:, 1].tolist() == [56, 1160, 0]


def test_arrays_that_changed_are_noticed():
    arrays = (np.zeros((4, 6), "f4"), np.zeros(5, "f8")[::2], np.zeros((), "f4"))
    changes = [
        lambda a: setattr(a, "shape", (6, 4)),
        lambda a: setattr(a, "shape", (2, 2, 6)),
        lambda a: setattr(a, "dtype", "i4"),
        lambda a: a.resize((2, 6), refcheck=False),
        lambda a: setattr(a.flags, "writeable", False),
    ]
    for change in changes:
        one = np.zeros((4, 6), "f4")
        now = (one, *arrays[1:])
        objects = table(list(map(id, now)))
        words = table([pair for a in now for pair in headers.header_words(a)])
        assert headers.unchanged(id(now), objects, words)
        assert headers.unchanged(id(tuple(now)), objects, words)
        assert not headers.unchanged(id((now[1], *now[1:])), objects, words)
        change(one)
        assert not headers.unchanged(id(now), objects, words)
