"""A whole benchmark over tiny arrays: its rows, and what stops a row, a peer or all of it."""

import pytest

from gpuopt.bench import row as measuring
from gpuopt.bench import run as running
from gpuopt.bench import timetable
from gpuopt.bench.gate import Mismatch
from gpuopt.bench.results import load, save
from gpuopt.bench.settings import Settings, sizes
from gpuopt.bench.timing import Clock
from tests.bench_command.bench_handmade import times
from tests.optional import optional


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Turns of no length."""
    monkeypatch.setattr(timetable, "SETTLE", 0.0)
    monkeypatch.setattr(timetable, "QUICK_SETTLE", 0.0)
    monkeypatch.setattr("gpuopt.bench.pace.TURN", 1e-6)


def run(text="100,200", advance=lambda *_: None, **more):
    asked = {"backends": ("numpy",), "peers": ("naive",), "repeat": 1, "device": "cpu"} | more
    return running.run(Settings(sizes=sizes(text, "1"), **asked), advance)


def test_a_row_says_what_was_measured_and_how(tmp_path):
    found = run("100,mlp", rules=("Adam", "SGD"))
    assert found["failures"] == found["skipped"] == found["crossover"] == []
    assert [row["case"] for row in found["rows"]] == [
        "Adam float32, one tensor of 100",
        "Adam float32, MLP 784-128-10",
        "SGD float32, one tensor of 100",
        "SGD float32, MLP 784-128-10",
    ]
    row = found["rows"][1]
    assert (row["parameters"], row["tensors"], row["bytes"]) == (101_770, 4, 28 * 101_770)
    assert list(row["times"]) == ["gpuopt numpy", "naive NumPy"]
    assert row["times"]["gpuopt numpy"]["count"] == 3
    assert row["launches"] == {"gpuopt numpy": 1}
    assert row["host_us"]["gpuopt numpy"] > 0
    assert row["largest_difference"]["naive NumPy"] < 1e-6
    save(tmp_path / "a.json", found)
    assert load(tmp_path / "a.json")["rows"] == found["rows"]


def test_a_large_step_is_timed_beside_the_limit(monkeypatch):
    monkeypatch.setattr(measuring, "LEAST_FOR_A_LIMIT", 28 * 100_000)
    monkeypatch.setattr(measuring, "above_limit", lambda row: None)  # whatever is measured here
    below, above = run("99999,100000")["rows"]
    assert not any(name.startswith("limit") for name in below["times"])
    assert any(name.startswith("limit") for name in above["times"])


def test_temporaries_do_not_grow_with_the_model_as_naive_ones_do():
    small, large = (
        row["temporary_bytes"] for row in run("100000,400000", peers=("naive",))["rows"]
    )
    assert large["gpuopt numpy"] < 1.2 * small["gpuopt numpy"]
    assert large["naive NumPy"] > 3.9 * small["naive NumPy"]


def test_a_peer_that_takes_other_steps_is_a_failure_and_not_timed(monkeypatch):
    def fails(problem, made):
        raise Mismatch({"naive NumPy": "not those of gpuopt"}, {})

    monkeypatch.setattr(measuring, "gate", fails)
    found = run("100")
    assert list(found["rows"][0]["times"]) == ["gpuopt numpy"]
    (failure,) = found["failures"]
    assert failure["case"] == "Adam float32, one tensor of 100"
    assert failure["error"] == "naive NumPy: not those of gpuopt"


def test_nothing_is_published_where_gpuopt_itself_fails(monkeypatch):
    def fails(problem, made):
        raise Mismatch({"gpuopt numpy": "not the formula"}, {"naive NumPy": 0.0})

    monkeypatch.setattr(measuring, "gate", fails)
    found = run("100")
    assert found["rows"] == []
    assert found["failures"][0]["error"] == "gpuopt numpy: not the formula"


def test_above_the_limit_is_measured_again_and_then_refused(monkeypatch):
    counted = []

    def impossible(problem):
        def all_times(runs, pace):
            counted.append(pace)
            return {
                "clock": "wall",
                "times": {"gpuopt numpy": times(0.1), "limit, copy": times(0.2)},
            }

        return Clock(all_times, lambda *_: {}, lambda: None)

    monkeypatch.setattr(measuring, "clock_of", impossible)
    found = run("100")
    assert len(counted) == 2
    assert found["rows"] == []
    assert "gpuopt numpy ran at 200% of the limit" in found["failures"][0]["error"]


def test_an_error_in_one_row_does_not_stop_the_others(monkeypatch):
    real = running.measure

    def measure(problem, *args):
        if problem.list == "one tensor of 100":
            raise RuntimeError("the arrays\nare on fire")
        return real(problem, *args)

    monkeypatch.setattr(running, "measure", measure)
    found = run("100,200")
    assert [row["list"] for row in found["rows"]] == ["one tensor of 200"]
    assert found["failures"] == [
        {
            "case": "Adam float32, one tensor of 100",
            "error": "RuntimeError: the arrays are on fire",
        }
    ]


def test_ctrl_c_keeps_what_was_measured():
    def stop(what, done, seconds):
        if what.startswith("2 of 3"):
            raise KeyboardInterrupt

    found = run("100,200,300", stop)
    assert [row["list"] for row in found["rows"]] == ["one tensor of 100"]
    assert found["interrupted"] is True


def test_ctrl_c_at_once_is_no_rows():
    def stop(*_):
        raise KeyboardInterrupt

    assert run("100", stop)["rows"] == []


def test_progress_goes_from_nothing_to_all_with_a_guess():
    said = []
    run("100,200", lambda *now: said.append(now))
    assert said[0] == ("a short trial", 0.0, 0.0)
    parts = [done for _, done, _ in said]
    assert parts == sorted(parts)
    assert {what.partition(" | ")[0] for what, _, _ in said[1:]} == {
        "1 of 2: Adam float32, one tensor of 100",
        "2 of 2: Adam float32, one tensor of 200",
    }
    assert all(seconds > 0 for _, _, seconds in said[1:])


def test_what_has_no_time_with_quick_is_said(monkeypatch):
    monkeypatch.setattr(timetable, "QUICK_IN_ALL", 0.0)
    found = run("100,200", quick=True)
    assert [row["list"] for row in found["rows"]] == ["one tensor of 100"]
    assert found["skipped"][0]["what"] == "Adam float32, one tensor of 200"


@pytest.mark.parametrize(("compiling", "left_out"), [(0.1, []), (9.0, ["gpuopt.thinc"])])
def test_quick_leaves_out_the_peers_that_compile_for_long(monkeypatch, compiling, left_out):
    for name in ("optax", "thinc"):
        optional(name)
    monkeypatch.setattr(running, "QUICK_IN_ALL", 1e9)
    monkeypatch.setattr(timetable, "QUICK_IN_ALL", 1e9)
    seen = []

    def measure(problem, backends, peers, *_):
        seen.append((problem.list, tuple(peers)))
        return measuring.Measured(None, [], [])

    monkeypatch.setattr(running, "measure", measure)
    monkeypatch.setattr(running, "trial", lambda *_: timetable.Trial(compiling, 1e10, 2))
    found = run("100,small500", quick=True, peers=("naive", "optax", "gpuopt.thinc"))
    thinc = () if left_out else ("gpuopt.thinc",)
    assert seen == [
        ("one tensor of 100", ("naive", "optax", *thinc)),
        ("500 tensors of 256", ("naive", *thinc)),
    ]
    skipped = sorted(x["what"] for x in found["skipped"])
    assert skipped == [*left_out, "optax (500 tensors of 256)"]


def test_copies_without_a_gpu_are_said():
    (skipped,) = run("100", copies=True)["skipped"]
    assert skipped["what"] == "--copies"


def test_who_is_left_out_of_some_rows_only_is_said_with_those():
    skipped = run("100", rules=("Adam", "Lion"), peers=("naive",))["skipped"]
    assert [x["what"] for x in skipped] == ["naive NumPy (Lion float32)"]
    everywhere = run("100", rules=("Lion",), peers=("naive",))["skipped"]
    assert [x["what"] for x in everywhere] == ["naive NumPy"]
