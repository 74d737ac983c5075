"""Verdicts on two files of results: what is compared, what is not, and what is said of it."""

import copy
import json
from pathlib import Path

import pytest

from gpuopt.bench.compare import compare
from gpuopt.bench.differing import notes, unmatched
from gpuopt.errors import InputError

OLD = Path(__file__).parents[2] / "bench/results/cpu.json"


def times(median, noise=0.01, count=20):
    half = noise / 2 * median
    found = {"median": median, "q1": median - half, "q3": median + half, "noise": noise}
    return found | {"count": count}


def results(ours=1.0, noise=0.01, **others):
    peers = {"torch fused": 2.0, "limit, copy": 0.9, "limit, other": 1.1, **others}
    row = {"case": "Adam, MLP", "device": "cpu", "dtype": "float32", "copies": False}
    row |= {"bytes": 100, "launches": {"gpuopt numba": 1, "torch fused": 9}}
    row["times"] = {"gpuopt numba": times(ours, noise)}
    row["times"] |= {name: times(seconds, noise) for name, seconds in peers.items()}
    machine = {"processor": "x", "versions": {"torch": "2.13", "gpuopt": "1", "numba": "0.68"}}
    return {"command": "bench", "machine": machine, "rows": [row]}


def judged(before, after):
    return next(x for x in compare(before, after) if x.what == "gpuopt numba")


@pytest.mark.parametrize(
    ("ours", "verdict"), [(1.0, "the same"), (1.3, "slower"), (0.7, "faster"), (1.02, "the same")]
)
def test_verdicts_of_tight_times(ours, verdict):
    found = judged(results(), results(ours))
    assert found.verdict == verdict
    assert found.change == pytest.approx(ours)
    assert found.low < ours < found.high


def test_a_noisy_change_cannot_be_told():
    found = judged(results(noise=0.5), results(1.2, noise=0.5))
    assert found.verdict == "cannot tell"
    assert found.low < 1 < found.high


def test_a_slower_machine_is_no_slower_step():
    slow = {"torch fused": 6.0, "limit, copy": 2.7, "limit, other": 3.3}
    assert judged(results(), results(3.0, **slow)).verdict == "the same"


def test_the_most_precise_reference_decides():
    before, after = results(), results(1.3)
    for x in (before, after):
        x["rows"][0]["times"]["torch fused"] = times(2, noise=0.4)
    found = judged(before, after)
    assert (found.against, found.verdict) == ("limit", "slower")
    assert (found.before, found.after) == (pytest.approx(1 / 0.9), pytest.approx(1.3 / 0.9))


def test_references_that_contradict_each_other_cannot_tell():
    found = judged(results(), results(1.3, **{"torch fused": 4.0}))
    assert found.verdict == "cannot tell"
    assert "faster" in found.why
    assert "slower" in found.why


def test_the_limit_is_that_of_the_bytes_moved():
    """A step that reads half the bytes in half the time is faster, though no nearer its limit."""
    before, after = results(), results(0.5, **{"limit, copy": 0.45})
    after["rows"][0]["bytes"] = 50
    del after["rows"][0]["times"]["torch fused"]
    found = judged(before, after)
    assert (found.verdict, found.change) == ("faster", pytest.approx(0.5))


def test_a_peer_of_another_version_is_no_reference():
    before, after = results(), results(1.0, **{"torch fused": 1.0})
    after["machine"]["versions"]["torch"] = "2.14"
    assert judged(before, after).verdict == "the same"
    assert "OTHER VERSION: torch 2.13, then 2.14" in notes(before, after)
    for x in (before, after):
        x["rows"][0]["times"] = {
            name: t for name, t in x["rows"][0]["times"].items() if "limit" not in name
        }
    found = judged(before, after)
    assert (found.verdict, found.change) == ("cannot tell", None)


def test_another_machine_is_said_and_gives_no_verdict():
    after = results(2.0)
    after["machine"]["processor"] = "y"
    found = judged(results(), after)
    assert found.verdict == "cannot tell"
    assert "another machine" in found.why
    assert "OTHER MACHINE: processor x, then y" in notes(results(), after)


def test_another_version_of_gpuopt_is_what_is_compared():
    after = results()
    after["machine"]["versions"]["gpuopt"] = "2"
    assert notes(results(), after) == []


def test_launches_are_compared_as_they_are():
    after = results()
    after["rows"][0]["launches"] = {"gpuopt numba": 2, "torch fused": 10}
    assert [x.verdict for x in compare(results(), after)] == ["the same", "slower"]


@pytest.mark.parametrize("name", ["case", "device", "dtype", "copies"])
def test_rows_of_other_cases_are_not_compared_but_said(name):
    after = results(9.0)
    after["rows"][0][name] = "other"
    assert compare(results(), after) == []
    said = unmatched(results(), after, "A", "B")
    assert [x.partition(":")[0] for x in said] == ["only in A", "only in B"]


def test_a_candidate_of_one_file_is_said():
    after = results()
    after["rows"][0]["times"]["optax"] = times(3)
    assert unmatched(results(), after, "A", "B") == ["only in B: Adam, MLP, float32: optax"]


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


def test_results_as_the_suite_writes_them():
    """Rows of bench/ that say against what they were timed, and not how often."""
    before = json.loads(OLD.read_text())
    same = compare(before, copy.deepcopy(before))
    assert len(same) >= len({row["case"] for row in before["rows"]})
    assert {x.verdict for x in same} <= {"the same", "cannot tell"}
    assert notes(before, before) == []
    after = copy.deepcopy(before)
    for row in after["rows"]:
        for name, t in row["times"].items():
            if name.startswith("gpuopt"):
                row["times"][name] = {k: t[k] * (3 if k != "noise" else 1) for k in t}
    verdicts = [x.verdict for x in compare(before, after) if x.change]
    assert verdicts.count("slower") > len(verdicts) / 2
    assert "faster" not in verdicts
