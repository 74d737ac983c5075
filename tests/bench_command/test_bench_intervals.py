"""How sure a median is: against medians that were drawn, and the verdicts at their borders."""

import numpy as np
import pytest

from gpuopt.bench.intervals import FEWEST, MARGIN, MOST, Change, change, error


def times(median, noise, count=20):
    half = noise / 2 * median
    return {"median": median, "q1": median - half, "q3": median + half, "count": count}


@pytest.mark.parametrize("count", [9, 20])
def test_the_error_is_that_of_drawn_medians(count):
    rng = np.random.default_rng(0)
    drawn = rng.normal(1, 0.1, size=(4000, count))
    medians = np.median(drawn, axis=1)
    iqr = 0.1 * 1.349
    assert error(times(1, iqr, count)) == pytest.approx(medians.std(), rel=0.08)


def test_more_than_the_turns_count_no_more_and_few_are_assumed():
    assert error(times(1, 0.1, 10_000)) == error(times(1, 0.1, MOST))
    assert error(times(1, 0.1, 5)) > error(times(1, 0.1, MOST))
    without = times(1, 0.1)
    del without["count"]
    assert error(without) == error(times(1, 0.1, FEWEST))


def test_two_runs_of_the_same_are_told_apart_in_at_most_one_of_twenty():
    rng = np.random.default_rng(1)
    wrong, runs = 0, 500
    for _ in range(runs):
        drawn = rng.normal(1, 0.3, size=(4, 20))
        summaries = [
            {"median": np.median(x), "q1": low, "q3": high, "count": 20}
            for x in drawn
            for low, high in [np.percentile(x, [25, 75])]
        ]
        found = change((summaries[0], summaries[1]), (summaries[2], summaries[3]))
        wrong += found.verdict in ("faster", "slower")
    assert wrong <= 0.07 * runs


def test_a_change_is_relative_to_the_reference():
    """The machine was half as fast, and so were both."""
    found = change((times(1, 0.01), times(2, 0.01)), (times(3, 0.01), times(6, 0.01)))
    assert found.ratio == pytest.approx(1)
    assert found.verdict == "the same"


def test_scale_is_the_work_of_the_reference():
    found = change((times(1, 0.01), times(1, 0.01)), (times(2, 0.01), times(1, 0.01)), 0.5)
    assert found.ratio == pytest.approx(1)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1 + 1.01 * MARGIN, 1.5, "slower"),
        (1 + 0.99 * MARGIN, 1.5, "cannot tell"),
        (0.5, 1 / (1 + 1.01 * MARGIN), "faster"),
        (0.5, 1 / (1 + 0.99 * MARGIN), "cannot tell"),
        (1 / (1 + 0.99 * MARGIN), 1 + 0.99 * MARGIN, "the same"),
        (0.9, 1.1, "cannot tell"),
    ],
)
def test_verdicts(low, high, verdict):
    assert Change((low * high) ** 0.5, low, high).verdict == verdict
