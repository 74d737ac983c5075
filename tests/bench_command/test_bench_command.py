"""`gpuopt bench` on the command line: tables, files, exit codes, and one line for an error."""

import json

import pytest

from gpuopt import backends
from gpuopt.bench import row, rows, timetable
from gpuopt.bench import run as running
from gpuopt.bench.gate import Mismatch
from gpuopt.bench.results import load
from gpuopt.cli import main
from gpuopt.memory.budget import given

SMALL = ["bench", "--backends", "numpy", "--peers", "naive", "--repeat", "1", "--device", "cpu"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working folder, no GPU, and turns of no length."""
    why = "CuPy is not installed"
    real = backends.unavailable
    monkeypatch.setattr(backends, "unavailable", lambda n: why if n in backends.GPU else real(n))
    monkeypatch.setattr(timetable, "SETTLE", 0.0)
    monkeypatch.setattr("gpuopt.bench.pace.TURN", 1e-6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_tables_json_and_charts(here, capsys):
    more = ["--sizes", "1e3,2e3", "--tensors", "1,10", "--json", "found.json", "--plot", "charts"]
    assert main([*SMALL, *more]) == 0
    out, err = capsys.readouterr()
    for words in ("one tensor, cpu", "equal tensors, cpu", "numbers: found.json", "naive"):
        assert words in out
    assert "chart: charts/scaling.png" in out
    assert "no limit.png: it needs a step of 8 MiB" in out
    assert max(len(line) for line in out.splitlines()) <= 80
    assert err.splitlines()[0] == "a short trial"
    assert "3 of 4: Adam float32, one tensor of 2e3" in err
    found = load(here / "found.json")
    assert found["command"] == "bench"
    assert found["machine"]["versions"]["gpuopt"]
    assert [row["tensors"] for row in found["rows"]] == [1, 10, 1, 10]
    assert set(found["loss"]["ways"]) == {"gpuopt numpy", "naive NumPy"}
    names = {"throughput.png", "speedup.png", "scaling.png", "loss.png"}
    assert {path.name for path in (here / "charts").iterdir()} == names


@pytest.mark.parametrize(("wrong", "code"), [("naive NumPy", 0), ("gpuopt numpy", 1)])
def test_who_does_not_take_the_same_steps_is_not_timed(here, capsys, monkeypatch, wrong, code):
    """Of peers it is said; of gpuopt it is a failure."""

    def gate(problem, made):
        raise Mismatch({wrong: "takes other steps"}, {})

    monkeypatch.setattr(row, "gate", gate)
    assert main([*SMALL, "--sizes", "100", "--json", "found.json"]) == code
    assert f"FAILED: Adam float32, one tensor of 100: {wrong}: takes" in capsys.readouterr().err
    found = json.loads((here / "found.json").read_text())
    assert all(wrong not in made["times"] for made in found["rows"])


def test_no_loss_is_measured_without_charts(here):
    assert main([*SMALL, "--sizes", "100", "--json", "found.json"]) == 0
    assert "loss" not in json.loads((here / "found.json").read_text())


def test_a_failure_is_loud_and_the_exit_code_is_1(here, capsys, monkeypatch):
    real = running.measure

    def measure(problem, *rest):
        if problem.list.endswith("100"):
            raise RuntimeError("out of luck")
        return real(problem, *rest)

    monkeypatch.setattr(running, "measure", measure)
    assert main([*SMALL, "--sizes", "100,200", "--json", "found.json"]) == 1
    assert "FAILED: Adam float32, one tensor of 100: RuntimeError: out of luck" in (
        capsys.readouterr().err
    )
    saved = json.loads((here / "found.json").read_text())
    assert (len(saved["failures"]), len(saved["rows"])) == (1, 1)


def test_an_interrupted_run_prints_and_saves_what_it_has(here, capsys, monkeypatch):
    real = running.measure

    def measure(problem, *rest):
        if problem.list.endswith("200"):
            raise KeyboardInterrupt
        return real(problem, *rest)

    monkeypatch.setattr(running, "measure", measure)
    assert main([*SMALL, "--sizes", "100,200", "--json", "found.json"]) == 130
    out, err = capsys.readouterr()
    assert "INTERRUPTED" in out
    assert "one tensor, cpu" in out
    assert err.endswith("gpuopt: interrupted\n")
    saved = json.loads((here / "found.json").read_text())
    assert [row["list"] for row in saved["rows"]] == ["one tensor of 100"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--rules Adm", "--rules Adm: there is no 'Adm'"),
        ("--sizes huge", "'huge' is no whole number"),
        ("--tensors 0", "--tensors 0: '0' is no whole number"),
        ("--dtypes int8", "there is no 'int8'"),
        ("--backends cupy", "--backends cupy: CuPy is not installed; leave cupy out"),
        ("--backends numba --device cuda", "--backends numba does not run on cuda"),
        ("--device cuda:0 --backends auto", "--device cuda:0: CuPy is not installed; use --device"),
        ("--peers apex", "there is no 'apex'"),
        ("--repeat 0", "--repeat 0"),
        ("--json nowhere/found.json", "there is no folder nowhere; make it first"),
        ("--plot nowhere/charts", "--plot nowhere/charts: there is no folder nowhere"),
        ("--plot file", "--plot file is a file; give the name of a folder"),
        ("--quickly", "No such option"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(args, words, here, capsys):
    (here / "file").write_text("")
    assert main(["bench", "--sizes", "100", *args.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gpuopt: error: ")
    assert words in err
    assert err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["file"]


def test_what_does_not_fit_is_refused_before_anything_is_measured(capsys, monkeypatch):
    monkeypatch.setattr(rows, "budget", lambda device: given("1MB"))
    assert main([*SMALL, "--sizes", "1e3,1e6"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gpuopt: error: Adam float32, one tensor of 1e6: may take 110.6 MiB with")
    assert err.endswith("give a smaller size\n")
    assert err.count("\n") == 1


def test_where_not_even_the_default_fits_nothing_is_measured_and_said(capsys, monkeypatch):
    monkeypatch.setattr(rows, "budget", lambda device: given("1kB"))
    assert main([*SMALL, "--rules", "SGD"]) == 1
    assert "NOT MEASURED: SGD float32, one tensor of 1e3: may take" in capsys.readouterr().out


def test_compare_is_a_command_of_its_own(here, capsys):
    assert main([*SMALL, "--sizes", "100", "--json", "a.json"]) == 0
    capsys.readouterr()
    assert main(["bench", "compare", "a.json", "a.json"]) == 0
    assert "a short trial" not in capsys.readouterr().err


def test_the_library_is_imported_without_it():
    import subprocess
    import sys

    code = "import sys, gpuopt; print([m for m in sys.modules if m.startswith('gpuopt.bench')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
