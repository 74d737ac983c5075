"""Addresses and strides: common layouts, overlaps, ranges of bytes."""

import numpy as np
import pytest

from gpuopt.backends.memory import (
    Intervals,
    Memory,
    common_layout,
    first_overlap,
    overlaps_itself,
    share_memory,
)


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


def test_arrays_that_overlap_themselves():
    a = np.zeros((4, 5))
    strided = np.lib.stride_tricks.as_strided
    for view in (np.broadcast_to(a, (3, 4, 5)), np.broadcast_to(a[:, :1], (4, 5))):
        assert overlaps_itself(memory(view))
    assert overlaps_itself(memory(strided(a, (4, 4), (8, 8))))
    for view in (a, a.T, a[::-1, ::2], a[:, :0], a[None], strided(a, (1, 5), (0, 8))):
        assert not overlaps_itself(memory(view))


@pytest.mark.parametrize("interleaved", [False, True])
def test_overlaps_between_arrays(interleaved):
    a = np.zeros(40)
    x, y = (a[::2], a[1::2]) if interleaved else (a[:20], a[20:])
    assert not share_memory(memory(x), memory(y))
    assert first_overlap([("x", memory(x)), ("y", memory(y))]) is None
    z = a[18:22]
    assert set(first_overlap([("x", memory(x)), ("y", memory(y)), ("z", memory(z))])) & {"z"}
    assert first_overlap([], [("x", memory(x)), ("z", memory(z))]) is None
    assert first_overlap([("x", memory(x))], [("z", memory(z)), ("y", memory(y))]) is not None
    assert first_overlap([("x", memory(x)), ("e", memory(a[5:5]))]) is None
    elsewhere = memory(x)._replace(device=1)
    assert first_overlap([("x", memory(x)), ("gpu", elsewhere)]) is None


def test_a_long_array_overlaps_one_far_behind_others():
    a = np.zeros(100)
    parts = [("long", a[:90]), ("one", a[5:6]), ("two", a[80:81]), ("out", a[95:])]
    found = first_overlap([("long", memory(a[:90]))], [(k, memory(v)) for k, v in parts[1:]])
    assert found is not None
    assert "long" in found


def test_intervals():
    a = np.zeros(100, "u1")
    ranges = Intervals(memory(x) for x in (a[50:60], a[10:20], a[20:30], a[70:70], a[55:58]))
    inside = [bool(ranges.touch(memory(a[k : k + 1]))) for k in range(100)]
    assert inside == [10 <= k < 30 or 50 <= k < 60 for k in range(100)]
    assert ranges.touch(memory(a[0:100]))
    assert ranges.touch(memory(a[30:51]))
    assert not ranges.touch(memory(a[30:50]))
    assert not ranges.touch(memory(a[15:15]))
    assert not Intervals([]).touch(memory(a))
