"""Verdicts on two files of results: what is compared, what is not, and what is said of it."""

import copy
import json
from pathlib import Path

import pytest

from gpuopt.bench.compare import compare
from gpuopt.bench.differing import notes, unmatched

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


def test_references_that_changed_unlike_each_other_cannot_tell():
    found = judged(results(), results(1.3, **{"torch fused": 4.0}))
    assert found.verdict == "cannot tell"
    assert found.why.endswith("er, but times beside it changed by +0 to +100 %")
    assert found.low < 1 < found.high


def test_a_step_that_stayed_while_all_else_got_faster_by_chance_is_no_slower_one():
    """Of a first run that something else disturbed: each by another factor."""
    first = {"torch fused": 3.6, "limit, copy": 1.2, "optax": 5.0}
    second = {"torch fused": 2.0, "limit, copy": 0.9, "optax": 4.8}
    found = judged(results(1.1, **first), results(1.1, **second))
    assert (found.verdict, found.against) == ("cannot tell", "limit")
    assert found.why == "slower, but times beside it changed by -44.4 to -4 %"


def test_as_much_slower_as_the_references_is_the_same():
    slow = {"torch fused": 2.4, "limit, copy": 1.08, "limit, other": 1.3}
    assert judged(results(), results(1.2, **slow)).verdict == "the same"


def only(name, found):
    row = found["rows"][0]
    row["times"] = {n: t for n, t in row["times"].items() if n in ("gpuopt numba", name)}
    return found


def test_a_single_reference_that_changed_may_be_what_changed():
    """Whether it or the machine is slower cannot be seen."""
    before = only("torch fused", results())
    found = judged(before, only("torch fused", results(1.2, **{"torch fused": 2.4})))
    assert (found.verdict, found.change) == ("cannot tell", pytest.approx(1))
    assert found.why == "the same, but times beside it changed by +20 %"
    found = judged(before, only("torch fused", results(1.2)))
    assert (found.verdict, found.against) == ("slower", "torch fused")


def test_seconds_that_went_the_other_way_cannot_tell():
    quick = {"torch fused": 1.0, "limit, copy": 0.45, "limit, other": 0.55}
    found = judged(results(), results(0.7, **quick))
    assert (found.verdict, found.why) == ("cannot tell", "slower, but faster in seconds")


@pytest.mark.parametrize(
    ("ours", "verdict"), [(2, "slower"), (0.5, "faster"), (1.3, "cannot tell"), (1, "cannot tell")]
)
def test_only_large_changes_of_seconds_decide_where_nothing_else_was_timed(ours, verdict):
    found = judged(only("", results()), only("", results(ours)))
    assert (found.verdict, found.against) == (verdict, "seconds alone")
    assert (found.before, found.after) == (1.0, ours)
    assert found.why == {
        1.3: "slower, with nothing beside it",
        1: "the same, with nothing beside it",
    }.get(ours, "")


@pytest.mark.parametrize("ours", [1.0, 3.0])
def test_seconds_of_another_machine_tell_nothing(ours):
    after = only("", results(ours))
    after["machine"]["processor"] = "y"
    found = judged(only("", results()), after)
    assert found.verdict == "cannot tell"
    assert found.why.endswith(", but on another machine")


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
    assert (found.verdict, found.against) == ("cannot tell", "seconds alone")


def test_another_machine_is_said_and_gives_no_verdict():
    after = results(2.0)
    after["machine"]["processor"] = "y"
    found = judged(results(), after)
    assert found.verdict == "cannot tell"
    assert "another machine" in found.why
    assert "OTHER MACHINE: processor x, then y" in notes(results(), after)
    after["rows"] = results()["rows"]
    assert judged(results(), after).verdict == "the same"


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
