"""How sure a median is: against medians that were drawn, and the verdicts at their borders."""

import numpy as np
import pytest

from gpuopt.bench.intervals import FEWEST, MARGIN, MOST, Change, apart, change, error, spread


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
    found = change((times(1, 0.01), times(1, 0.01)), (times(2, 0.01), times(1, 0.01)), scale=0.5)
    assert found.ratio == pytest.approx(1)


def test_without_a_reference_it_is_that_of_the_time():
    found = change((times(1, 0.01), times(2, 0.01)))
    assert found.ratio == pytest.approx(2)
    assert found.width < change((times(1, 0.01), times(2, 0.01)), (times(1, 0.01),) * 2).width


def test_the_spread_is_that_of_what_changed_unlike_the_others():
    assert spread([3.0, 3.0, 3.0]) == pytest.approx(0)
    assert spread([1.0, 1.5, 1 / 1.5]) == pytest.approx(np.log(1.5))
    assert spread([1.5]) == pytest.approx(spread([1.5, 1.0])) == pytest.approx(spread([1 / 1.5]))


def test_the_middle_one_is_apart_from_itself_by_nothing():
    assert apart(2.0, [1.0, 2.0, 9.0]) == pytest.approx(1)
    assert apart(1.0, [1.0, 2.0, 9.0]) == pytest.approx(2)


def test_an_interval_is_widened_as_errors_add():
    found = Change(2, 2 / 1.3, 2 * 1.3).widened(np.log(1.4) / 1.96)
    wide = np.exp(np.hypot(np.log(1.3), np.log(1.4)))
    assert (found.ratio, found.low, found.high) == pytest.approx((2, 2 / wide, 2 * wide))


def test_runs_of_the_same_that_were_disturbed_are_seldom_told_apart():
    """Every time of the second run is about 1.5 times as long, by tight quartiles."""
    rng = np.random.default_rng(2)
    wrong, naive, runs = 0, 0, 400
    for _ in range(runs):
        own, *drifts = 1.5 * np.exp(rng.normal(0, np.log(1.2), 6))
        middle = min(drifts, key=lambda x: apart(x, drifts))
        found = change((times(1, 0.02), times(own, 0.02)), (times(1, 0.02), times(middle, 0.02)))
        naive += found.contrary is not None
        wrong += found.widened(spread(drifts)).contrary is not None
    assert naive > 0.7 * runs
    assert wrong < 0.1 * runs


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
