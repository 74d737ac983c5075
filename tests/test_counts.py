"""Step counts: of all parameters at once, and of some."""

import copy

import numpy as np

from gpuopt.counts import Counts


def test_steps_of_all_and_of_some():
    counts = Counts([{}, {}, {}])
    kept = counts.steps
    counts.advance(slice(None))
    counts.advance(slice(None))
    assert [counts.steps_of(k) for k in range(3)] == [2, 2, 2]
    counts.advance(np.array([0, 2]))
    counts.advance(slice(None))
    assert [counts.steps_of(k) for k in range(3)] == [4, 3, 4]
    assert counts.steps.tolist() == [4, 3, 4]
    assert counts.steps is kept
    assert counts.taken == 4


def test_steps_that_are_written():
    counts = Counts([{}, {}])
    counts.advance(slice(None))
    counts.steps[1] = 9
    counts.advance(slice(None))
    assert counts.steps.tolist() == [2, 10]
    assert copy.deepcopy(counts).steps.tolist() == [2, 10]
    assert counts.steps_of(1) == 10


def test_carried_numbers():
    counts = Counts([{"mu": 1.0}, {}])
    assert counts.carried_by(0) == {"mu": 1.0}
    assert np.isnan(counts.carried_by(1)["mu"])
