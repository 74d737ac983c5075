"""Addresses and strides: common layouts, ranges of bytes."""

import numpy as np

from gpuopt.backends.memory import Memory, common_layout


def memory(a):
    return Memory(a.ctypes.data, a.shape, a.strides, a.dtype)


def layout(*arrays):
    return common_layout([memory(a) for a in arrays])


def test_arrays_that_are_dense_in_one_order_are_one_axis():
    c = np.zeros((3, 4, 5), "f4")
    for view in (c, c.T, c.transpose(1, 2, 0), c[:, :, None], c.reshape(12, 5)):
        assert layout(view, np.zeros_like(view)).is_dense
        assert layout(view, np.zeros_like(view)).shape == (60,)
    assert layout(np.zeros(()), np.zeros(())).is_dense
    assert layout(np.zeros((1, 1)), np.zeros((1, 1))).is_dense


def test_arrays_in_different_orders_are_not():
    c, f = np.zeros((3, 4)), np.zeros((3, 4), order="F")
    assert layout(c, f) == ((3, 4), ((4, 1), (1, 3)))
    assert layout(f, c) == ((4, 3), ((3, 1), (1, 4)))
    assert layout(c[::2], np.zeros((2, 4))) == ((2, 4), ((8, 1), (4, 1)))
    assert layout(c.ravel()[::-1], c.ravel()) == ((12,), ((-1,), (1,)))
    assert not layout(c.ravel()[::2]).is_dense


def test_axes_are_merged_as_far_as_all_arrays_allow():
    wide = np.zeros((5, 6, 8))
    assert layout(wide[:, :, :4], np.zeros((5, 6, 4))).shape == (30, 4)
    assert layout(wide[:, ::2], np.zeros((5, 3, 8))).shape == (15, 8)
    assert layout(wide[:, :5], np.zeros((5, 5, 8))).shape == (5, 40)


def test_every_layout_visits_every_element_in_the_same_place():
    rng = np.random.default_rng(1)
    whole = np.arange(720.0).reshape(2, 3, 4, 5, 6)
    for _ in range(50):
        a, b = (whole.transpose(rng.permutation(5)) for _ in range(2))
        shape = np.minimum(a.shape, b.shape)
        a, b = (x[tuple(slice(0, n) for n in shape)] for x in (a, b))
        found = layout(a, b)
        grids = np.indices(found.shape).reshape(len(found.shape), -1)
        places = [np.dot(steps, grids) if found.shape else [0] for steps in found.strides]
        pairs = set(zip(*places, strict=True))
        assert pairs == {
            (x - a.flat[0], y - b.flat[0]) for x, y in zip(a.flat, b.flat, strict=True)
        }


def test_bounds_and_reals():
    w = np.zeros((4, 6), "f4")
    start = w.ctypes.data
    assert memory(w).bounds == (start, start + 96)
    assert memory(w[::-1, ::2]).bounds == (start, start + 72 + 20)
    assert memory(w[:0]).bounds == (start, start)
    z = np.zeros((3,), "c16")[::2]
    assert memory(z).as_real == Memory(z.ctypes.data, (2, 2), (32, 8), np.dtype("f8"))


def test_sizes_past_32_bits():
    huge = Memory(0, (3, 2**31 + 1), (4 * (2**31 + 1), 4), np.dtype("f4"))
    assert huge.size == 3 * (2**31 + 1)
    assert huge.bounds == (0, 12 * (2**31 + 1))
    assert common_layout([huge, huge]).shape == (3 * (2**31 + 1),)
