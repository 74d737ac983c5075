"""Verdicts on counts, which are compared as they are."""

import pytest

from gpuopt.bench.compare import compare
from gpuopt.errors import InputError


def counts(number, tolerance=0, numba="0.68"):
    row = {"case": "a step", "what": "bytecodes", "count": number, "tolerance": tolerance}
    machine = {"versions": {"numba": numba}}
    return {"machine": machine, "rows": [], "counts": [row | {"depends": ["numba"]}]}


@pytest.mark.parametrize(
    ("after", "tolerance", "verdict"),
    [
        (100, 0, "the same"),
        (101, 0, "slower"),
        (99, 0, "faster"),
        (102, 0.02, "the same"),
        (103, 0.02, "slower"),
    ],
)
def test_counts_are_compared_exactly_or_to_their_tolerance(after, tolerance, verdict):
    (found,) = compare(counts(100, tolerance), counts(after))
    assert (found.verdict, found.change) == (verdict, after / 100)


def test_a_count_of_none_that_becomes_one_is_worse():
    assert [x.verdict for x in compare(counts(0), counts(1))] == ["slower"]


def test_counts_of_another_compiler_cannot_tell():
    (found,) = compare(counts(100), counts(200, numba="0.69"))
    assert (found.verdict, found.why) == ("cannot tell", "numba is 0.69, was 0.68")


def test_what_is_no_count_is_refused():
    wrong = counts("many")
    with pytest.raises(InputError, match=r"counts\[0\].*a number"):
        compare(counts(1), wrong)
