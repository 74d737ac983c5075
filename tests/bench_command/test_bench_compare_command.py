"""`gpuopt bench compare`: its table, its exit codes, its JSON, and files that it refuses."""

import copy
import json

import pytest

from gpuopt.cli import main


def times(median):
    return {"median": median, "q1": median * 0.99, "q3": median * 1.01, "noise": 0.02, "count": 20}


RESULTS = {
    "command": "bench",
    "machine": {"processor": "x", "versions": {"torch": "2.13"}},
    "rows": [
        {
            "case": "Adam, MLP",
            "times": {"gpuopt numba": times(1.0), "limit, copy": times(0.9)},
        }
    ],
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path


def compare(before, after, *args):
    for name, results in (("a.json", before), ("b.json", after)):
        with open(name, "w") as file:
            json.dump(results, file)
    return main(["bench", "compare", "a.json", "b.json", *args])


def changed(ours):
    after = copy.deepcopy(RESULTS)
    after["rows"][0]["times"]["gpuopt numba"] = times(ours)
    return after


@pytest.mark.parametrize(
    ("ours", "code", "verdict"), [(1.5, 1, "slower"), (0.5, 0, "faster"), (1.0, 0, "the same")]
)
def test_the_exit_code_says_whether_it_is_slower(ours, code, verdict, capsys):
    assert compare(RESULTS, changed(ours)) == code
    out = capsys.readouterr().out
    (line,) = (x for x in out.splitlines() if "Adam, MLP" in x)
    assert verdict in line
    assert f"{100 * (ours - 1):+.0f} % (" in line
    assert f"1 {verdict}" in out.splitlines()[-1]


def test_json_holds_the_verdicts_and_the_notes(folder):
    after = changed(1.5)
    after["machine"]["versions"]["torch"] = "2.14"
    assert compare(RESULTS, after, "--json", "out.json") == 1
    found = json.loads((folder / "out.json").read_text())
    (verdict,) = found["comparisons"]
    assert (verdict["verdict"], verdict["against"]) == ("slower", "limit")
    assert verdict["change"] == pytest.approx(1.5)
    assert verdict["low"] < 1.5 < verdict["high"]
    assert found["notes"] == ["OTHER VERSION: torch 2.13, then 2.14"]


def test_another_machine_is_said_loudly_and_is_no_regression(capsys):
    after = changed(1.5)
    after["machine"]["processor"] = "y"
    assert compare(RESULTS, after) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "OTHER MACHINE: processor x, then y"
    assert "1 cannot tell" in out


def test_counts_are_shown_as_numbers(capsys):
    before, after = (
        {"machine": {}, "rows": [], "counts": [{"case": "a step", "what": "calls", "count": n}]}
        for n in (7, 9)
    )
    assert compare(before, after) == 1
    assert "7 to 9" in capsys.readouterr().out


WRONG = [
    ({}, "rows"),
    ({"rows": []}, "machine"),
    ({"machine": {}, "rows": []}, "no row in common"),
    ({"machine": {}, "rows": [{"case": "x"}]}, "times"),
    ({"machine": {}, "rows": [], "counts": [3]}, "counts[0]"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_what_are_no_results_is_refused(wrong, said, capsys):
    assert compare(RESULTS, wrong) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_not_there(capsys):
    assert main(["bench", "compare", "no.json", "no.json"]) == 2
    assert "no.json" in capsys.readouterr().err


def test_the_verdicts_never_replace_the_results(folder, capsys):
    for option in ("a.json", "b.json"):
        assert compare(RESULTS, changed(1.0), "--json", option) == 2
        assert "same file" in capsys.readouterr().err
    assert json.loads((folder / "a.json").read_text()) == RESULTS
