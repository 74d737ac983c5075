"""Fields that rules refuse, and what the error says."""

import math

import pytest

from gpuopt import rules


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"etas": (0.0, 1.2)}, ValueError, r"0 < etas\[0\] < 1 < etas\[1\], got \(0.0, 1.2\)"),
        ({"etas": (0.5, 1.0)}, ValueError, r"0 < etas\[0\] < 1 < etas\[1\]"),
        ({"etas": (1.2, 0.5)}, ValueError, r"0 < etas\[0\] < 1 < etas\[1\]"),
        ({"etas": (0.5, math.nan)}, ValueError, r"etas\[1\] must be a number, got nan"),
        ({"etas": (0.5, math.inf)}, ValueError, r"etas\[1\] must be finite, got inf"),
        ({"etas": 0.5}, TypeError, "etas must be a pair of numbers, got 0.5"),
        ({"step_sizes": (1.0, 2.0, 3.0)}, TypeError, "step_sizes must be a pair of numbers"),
        (
            {"step_sizes": (2.0, 1.0)},
            ValueError,
            r"must be \(smallest, largest\), got \(2.0, 1.0\)",
        ),
        ({"step_sizes": (-1.0, 1.0)}, ValueError, r"step_sizes\[0\] must be finite and >= 0"),
        ({"step_sizes": (0.1, "a")}, TypeError, r"step_sizes\[1\] must be a number, got 'a'"),
        ({"maximize": 1}, TypeError, "maximize must be True or False"),
    ],
    ids=str,
)
def test_rprops(fields, error, message):
    with pytest.raises(error, match=message):
        rules.Rprop(**fields)


def test_rprops_largest_step_size_may_be_infinite():
    assert rules.Rprop(step_sizes=(0, math.inf)).step_sizes == (0.0, math.inf)


@pytest.mark.parametrize("field", ["lambd", "alpha", "weight_decay"])
def test_asgds(field):
    with pytest.raises(ValueError, match=f"{field} must be finite and >= 0, got -1.0"):
        rules.ASGD(**{field: -1.0})
    with pytest.raises(ValueError, match="t0 must be finite, got inf"):
        rules.ASGD(t0=math.inf)
