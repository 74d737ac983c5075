"""Step counts: of all parameters at once, and of some."""

import copy

import numpy as np
import pytest

from gpuopt.counts import Counts


def advance(counts, active):
    counts.take(counts.after(active))


def test_steps_of_all_and_of_some():
    counts = Counts([{}, {}, {}])
    advance(counts, slice(None))
    advance(counts, slice(None))
    assert [counts.steps_of(k) for k in range(3)] == [2, 2, 2]
    advance(counts, np.array([0, 2]))
    advance(counts, slice(None))
    assert [counts.steps_of(k) for k in range(3)] == [4, 3, 4]
    assert counts.steps.tolist() == [4, 3, 4]
    assert counts.taken == 4


def test_steps_that_are_written():
    counts = Counts([{}, {}])
    advance(counts, slice(None))
    counts.put(1, 9)
    advance(counts, slice(None))
    assert counts.steps.tolist() == [2, 10]
    assert copy.deepcopy(counts).steps.tolist() == [2, 10]
    assert counts.steps_of(1) == 10


def test_steps_are_written_by_put_only():
    counts = Counts([{}, {}])
    with pytest.raises(ValueError, match="read-only"):
        counts.steps[1] = 9


def test_those_that_have_taken_as_many_are_counted_together():
    counts = Counts([{}, {}])
    counts.put([0, 1], [4, 5])
    assert counts.together is None
    advance(counts, slice(None))
    counts.put(0, 6)
    assert counts.together == 6
    advance(counts, slice(None))
    assert counts.steps.tolist() == [7, 7]
    advance(counts, np.array([1]))
    assert counts.steps.tolist() == [7, 8]
    empty = Counts([])
    empty.put(slice(None), [])
    advance(empty, slice(None))
    assert empty.taken == 1


def test_carried_numbers():
    counts = Counts([{"mu": 1.0}, {}])
    assert counts.carried_by(0) == {"mu": 1.0}
    assert np.isnan(counts.carried_by(1)["mu"])
