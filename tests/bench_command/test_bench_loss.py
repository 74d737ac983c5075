"""Loss against wall time: the same losses whoever trains, and one time for each step."""

import numpy as np
import pytest

from gpuopt.bench import loss


@pytest.fixture(scope="module")
def found():
    return loss.loss_against_time({"cpu": ["numpy"]}, seed=1, epochs=2)


def test_all_ways_see_the_same_losses(found):
    ours, naive = found["ways"]["gpuopt numpy"], found["ways"]["naive NumPy"]
    np.testing.assert_allclose(ours["loss"], naive["loss"], rtol=1e-3)
    assert ours["loss"][-1] < 0.5 * ours["loss"][0]


def test_there_is_a_time_for_every_step_and_it_goes_on(found):
    for way in found["ways"].values():
        assert len(way["seconds"]) == len(way["loss"]) == 2 * 22 + 2
        assert way["seconds"][0] > 0
        assert all(np.diff(way["seconds"]) > 0)


def test_what_was_trained_is_said(found):
    assert (found["rule"], found["network"], found["data"]) == ("Adam", "64-256-128-10", "digits")
