"""`gpuopt fit`: the report, its files, and one line for what cannot be used."""

import json
import subprocess
import sys

import numpy as np
import pytest

from gpuopt.cli import main

SMALL = ["fit", "--layers", "20-16-4", "--batch", "8:256", "--device", "cpu"]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """The lines, the JSON and the picture of one run with everything."""
    from contextlib import redirect_stdout
    from io import StringIO

    folder, text = tmp_path_factory.mktemp("fit"), StringIO()
    files = ["--plot", str(folder / "fit.png"), "--json", str(folder / "fit.json")]
    more = ["--budget", "1GiB", "--effective-batch", "1000", "--verify", "--time"]
    with redirect_stdout(text):
        assert main([*SMALL, *files, *more, "--seconds", "0.02"]) == 0
    found = json.loads((folder / "fit.json").read_text())
    return text.getvalue(), found, folder / "fit.png"


def test_the_report_says_what_fits_and_why(output):
    text, found, _ = output
    assert text.startswith("20-16-4 network, adam, float32, cpu\nA batch of 256 fits: projected to")
    for words in ("of 1.0 GiB; leaves", "256 of the powers of two", "optimizer state"):
        assert words in text
    assert "accumulate the gradients of 4 mini-batches of 250" in text
    assert found["verdict"] == "fits"
    assert found["largest"] == found["largest_power_of_two"] == 256


def test_the_parts_add_up_to_the_prediction(output):
    found = output[1]
    parts, there = sum(found["breakdown"].values()), sum(found["allocated_already"].values())
    assert parts - there == found["predicted"] < found["budget"] == 2**30
    weights = 20 * 16 + 16 + 16 * 4 + 4
    assert found["breakdown"]["parameters"] == 4 * weights


def test_runs_under_the_guard_come_through_as_predicted(output):
    runs = output[1]["verified"]
    assert [run["batch_size"] for run in runs] == [8, 16, 32, 64, 128, 256]
    for run in runs:
        assert run["passed"]
        assert run["predicted"] == pytest.approx(run["measured"], rel=0.3, abs=2**15)


def test_batch_sizes_are_timed(output):
    text, found, _ = output
    rows = found["timed"]
    assert [row["batch_size"] for row in rows] == [8, 16, 32, 64, 128, 256]
    assert all(row["steps"] >= 1 and row["examples_per_second"] > 0 for row in rows)
    assert "examples/s" in text
    assert text.count("lowest") == 1


def test_the_picture_is_a_png(output):
    from matplotlib.image import imread

    picture = imread(output[2])
    assert picture.shape[:2] == (720, 1200)
    assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


def test_a_single_batch_size_is_judged(capsys):
    assert main([*SMALL[:3], "--batch", "64", "--no-plot", "--budget", "1KiB"]) == 0
    assert "A batch of 64 does not fit: projected to use" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--layers 784-1000000000-10",
            "parameters take 2.9 TiB, their gradients and adam's state 8.7 TiB, of",
        ),
        ("--layers 784-9223372036854775808-10", "parameters take more than 8 EiB, their gradients"),
        (f"--layers 784-{10**400}-10", "parameters take more than 8 EiB, their gradients"),
    ],
)
def test_a_network_that_fits_with_no_batch_says_so_with_exit_code_1(
    words, message, tmp_path, capsys
):
    file = tmp_path / "fit.json"
    assert main(["fit", "--no-plot", "--device", "cpu", "--json", str(file), *words.split()]) == 1
    out, error = capsys.readouterr()
    assert error == ""
    assert out.splitlines()[1].startswith("The network does not fit, with any batch size: ")
    assert message in out
    found = json.loads(file.read_text())
    assert found["verdict"] == "does not fit"
    assert found["reason"] in out
    assert found["parameters"] > 0


LIMITED = """
import resource, sys
from gpuopt.cli import main
main(["fit", "--layers", "8-4-2", "--batch", "4", "--no-plot", "--device", "cpu"])  # imports
with open("/proc/self/status") as file:
    used = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + int(sys.argv[1]), -1))
sys.exit(main(["fit", "--layers", "2000-2000-10", "--optimizer", "sgd", "--no-plot"]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc are Linux's")
@pytest.mark.parametrize(
    ("more", "why"),
    [
        (28 * 2**20, "parameters take 15.3 MiB, their gradients and sgd's state 15.3 MiB, of 2"),
        (36 * 2**20, "Unable to allocate"),  # to draw them takes more
    ],
)
def test_a_network_for_which_memory_ends(more, why):
    command = [sys.executable, "-c", LIMITED, str(more)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (1, "")
    assert f"The network does not fit, with any batch size: {why}" in run.stdout


def test_data_are_for_the_timing(tmp_path, capsys):
    file = tmp_path / "data.npz"
    np.savez(file, X=np.random.default_rng(0).normal(size=(40, 20)), Y=np.arange(40) % 4)
    assert main([*SMALL, "--no-plot", "--data", str(file)]) == 2
    assert f"--data {file} is for --time; add --time, or leave out" in capsys.readouterr().err
    assert main([*SMALL, "--no-plot", "--data", str(file), "--time", "--seconds", "0.01"]) == 0
    assert "examples/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--layers 784", "--layers 784: must be whole numbers above 0"),
        ("--layers 784-x-10", "features, hidden layers, classes, as in 784-512-512-10"),
        ("--batch 0", "--batch 0: must be a number of examples above 0"),
        ("--batch 64:8", "--batch 64:8: must be a number"),
        ("--batch -5", "--batch -5: must be a number of examples above 0"),
        ("--batch 4:99999999999999999999", "must be at most 281474976710656 examples"),
        (f"--batch {5000 * str(9)}", "must be a number of examples above 0"),
        ("--layers 784-0-10", "--layers 784-0-10: must be whole numbers above 0"),
        ("--layers 784--5-10", "--layers 784--5-10: must be whole numbers above 0"),
        (f"--layers 784-{5000 * str(9)}-10", "must be whole numbers above 0"),
        ("--effective-batch 99999999999999999999", "must be at most 281474976710656 examples"),
        ("--seconds 3", "--seconds 3.0 is for --time; add --time"),
        ("--budget -1", "must be bytes such as 16GiB"),
        ("--optimizer adagard", "there is no such optimizer"),
        ("--dtype float16", "--dtype float16: must be float32 or float64"),
        ("--seed -1", "--seed -1: must be at least 0"),
        ("--budget lots", "must be bytes such as 16GiB or 500MB, got 'lots'"),
        ("--effective-batch 0", "effective_batch must be at least 1, got 0"),
        ("--time --seconds 0", "--seconds 0.0: must be a finite number > 0"),
        ("--time --data no.npz", "there is no such file"),
        ("--plot x.bmp", "the name must end in .png, .pdf, .svg"),
        ("--plot x.svg --json x.svg", "--plot and --json are the same file"),
        ("--device cuda:x", "must be auto, cpu, cuda or cuda:<number>"),
    ],
)
def test_what_cannot_be_used_is_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = words.split()
    picture = [] if "--plot" in given else ["--no-plot"]
    assert main(["fit", "--layers", "8-4-2", "--batch", "4:8", *picture, *given]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.iterdir())
