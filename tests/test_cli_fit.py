"""`gpuopt fit`: the report, its files, and one line for what cannot be used."""

import json

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
        ("--layers 784", "--layers 784: must be whole numbers above 0"),
        ("--layers 784-x-10", "features, hidden layers, classes, as in 784-512-512-10"),
        ("--batch 0", "--batch 0: must be a number of examples above 0"),
        ("--batch 64:8", "--batch 64:8: must be a number"),
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
