"""Whether arrays share memory."""

import numpy as np
import pytest

from gpuopt.backends.memory import Memory
from gpuopt.backends.overlaps import Intervals, first_overlap, overlaps_itself, share_memory


def memory(a):
    return Memory(a.ctypes.data, a.shape, a.strides, a.dtype)


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


def random_views(rng, count):
    """Views of one small array: slices along all axes, transposed, columns, blocks, reversed."""
    whole = np.zeros(rng.integers(2, 9, 3))
    for _ in range(count):
        cuts = []
        for length in whole.shape:
            start = rng.integers(length)
            cuts.append(slice(start, rng.integers(start, length) + 1, rng.integers(1, 4)))
        view = whole[tuple(cuts)]
        view = view[tuple(slice(None, None, rng.choice([1, -1])) for _ in cuts)]
        yield view.transpose(rng.permutation(3))


@pytest.mark.parametrize("seed", range(60))
def test_an_overlap_is_found_if_and_only_if_there_is_one(seed):
    rng = np.random.default_rng(seed)
    for count in (2, 3, 5, 12):
        views = list(random_views(rng, count))
        written = [bool(rng.integers(3) == 0) for _ in views]
        labelled = [(k, memory(view)) for k, view in enumerate(views)]
        found = first_overlap(
            [x for x, w in zip(labelled, written, strict=True) if w],
            [x for x, w in zip(labelled, written, strict=True) if not w],
        )
        shared = {
            (a, b)
            for a in range(count)
            for b in range(count)
            if a != b and (written[a] or written[b]) and np.shares_memory(views[a], views[b])
        }
        assert (found in shared) if shared else found is None


def test_columns_and_one_shared_gradient_are_compared_in_their_number_not_its_square(monkeypatch):
    from gpuopt.backends import overlaps

    asked = []
    exact = overlaps.share_memory
    monkeypatch.setattr(overlaps, "share_memory", lambda a, b: asked.append(1) or exact(a, b))
    matrix, cube, grad = np.zeros((7, 400)), np.zeros((4, 5, 300)), np.zeros(10)
    views = [matrix[:, k] for k in range(400)] + [cube[:, ::2, k] for k in range(300)]
    own = [np.zeros(10) for _ in range(400)]
    written = [memory(v) for v in [*views, *own]]
    read = [(k, memory(grad)) for k in range(700)]
    assert first_overlap(list(enumerate(written)), read) is None
    assert len(asked) < 700
