"""`gpuopt average`: its table, its files, the CSV files that it reads and those that it cannot."""

import json
import math

import numpy as np
import pytest

from gpuopt.averages import ewma
from gpuopt.cli import main
from gpuopt.commands.csv_column import read_column
from gpuopt.temperatures import temperatures


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args):
    return main(["average", *args])


def test_the_temperatures_are_the_course_s_and_the_formula_s():
    days = temperatures()
    assert days.shape == (365,)
    assert days[[0, 1, 179]].tolist() == [40, 49, 60]
    assert np.array_equal(days, np.rint(days))
    assert (days.min(), days.max(), days.sum(), days @ np.arange(365)) == (30, 75, 18473, 3434746)
    season = 51 - 12.5 * np.cos(2 * math.pi * (np.arange(1, 366) - 20) / 365)
    weather = days - season
    assert abs(weather.mean()) < 2
    assert 3 < weather.std() < 8
    assert np.corrcoef(weather[1:], weather[:-1])[0, 1] == pytest.approx(0.7, abs=0.1)


def test_the_table(capsys, folder):
    assert run("--no-plot") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.lstrip().startswith("0.")]
    assert [row[:4] for row in rows] == [
        ["0.5", "2", "40.00", "20.00"],
        ["0.9", "10", "40.00", "4.000"],
        ["0.98", "50", "40.00", "0.8000"],
    ]
    last = [f"{ewma(temperatures(), beta)[-1]:.2f}" for beta in (0.5, 0.9, 0.98)]
    assert [row[4] for row in rows] == last
    assert max(map(len, lines)) <= 80
    assert not list(folder.iterdir())


def test_the_json_holds_values_and_averages(folder):
    (folder / "a.csv").write_text("x\n1\n2\n4\n")
    assert run("a.csv", "--beta", "0,0.5,0.5", "--json", "out.json", "--no-plot") == 0
    found = json.loads((folder / "out.json").read_text())
    assert found["command"] == "average"
    assert found["data"] == {"source": "a.csv", "name": "x", "unit": "row", "values": [1, 2, 4]}
    same, half = found["averages"]
    assert same == {"beta": 0, "window": 1, "corrected": [1, 2, 4], "uncorrected": [1, 2, 4]}
    assert (half["beta"], half["window"]) == (0.5, 2)
    assert half["uncorrected"] == pytest.approx([0.5, 1.25, 2.625])
    assert half["corrected"] == pytest.approx([1, 5 / 3, 3])


@pytest.mark.parametrize(
    ("name", "start"), [("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")]
)
def test_the_plot_s_format_is_its_suffix(name, start, folder, capsys):
    (folder / "one.csv").write_text("$^$\n3\n")
    assert run("one.csv", "--plot", name) == 0
    assert (folder / name).read_bytes().startswith(start)
    assert f"plot: {name}" in capsys.readouterr().out


def test_the_plot_shows_every_value_and_average(folder):
    assert run("--plot", "a.svg", "--beta", "0.9,0.98") == 0
    text = (folder / "a.svg").read_text()
    words = ("β = 0.9 (about 10 days)", "β = 0.98 (about 50 days)", "without bias correction")
    for word in (*words, "temperature (°F)", "the first 100 days", "one day"):
        assert f"<!-- {word} -->" in text


@pytest.mark.parametrize(
    ("text", "column", "name", "values"),
    [
        ("4\n5.5\n-6e1\n", None, "column 1", [4, 5.5, -60]),
        ("t\n4\n5\n", None, "t", [4, 5]),
        ("\ufefft ,day\n4,2024-01-01\n5 ,2024-01-02\n", None, "t", [4, 5]),
        ('day,"t, in F"\r\n"1 May"," 4"\r\n\r\n"2 May", "5"\r\n', None, "t, in F", [4, 5]),
        ("2024-01-01,4\n2024-01-02,5", None, "column 2", [4, 5]),
        ("a,b\n1,2\n3,4\n", "b", "b", [2, 4]),
        ("a,b\n1,2\n3,4\n", "1", "a", [1, 3]),
        ("1,2\n3,4\n", "2", "column 2", [2, 4]),
        (",t\n0,4\n1,5\n", "t", "t", [4, 5]),
        ("a,b\n1,\n3,4\n", "a", "a", [1, 3]),
        ("\n\nt\n4\n,\n", None, "t", [4]),
    ],
)
def test_csv_files(text, column, name, values, folder):
    (folder / "a.csv").write_bytes(text.encode())
    found, numbers = read_column(folder / "a.csv", column)
    assert (found, numbers.tolist(), numbers.dtype) == (name, values, np.float64)


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", None, "a.csv is empty"),
        ("\n \n,\n", None, "a.csv is empty"),
        ("t\n", "t", "a.csv has a header and nothing below it"),
        ("a,b\nx,y\n", None, "a.csv has no column of numbers"),
        ("a,b\n1,2\n", None, "several columns of numbers; give --column, one of a, b"),
        ("a,b\n1,2\n", "c", "--column c: a.csv has no such column, or two; there is a, b"),
        ("a,a\n1,2\n", "a", "no such column, or two"),
        ("a,b\n1,2\n", "3", "no such column"),
        ("a,b\n1,2\n", "0", "no such column"),
        ("t\n4\n\nfive\n", None, "a.csv, line 4, column t: 'five' is no finite number"),
        ("d,t\nx,4\ny,\n", "t", "a.csv, line 3, column t: the number is missing; correct it"),
        ("nan\n4\n", None, "a.csv, line 1, column 1: 'nan' is no finite number"),
        ("t\n4\n-inf\n", None, "line 3, column t: '-inf' is no finite number"),
        ("d,t\n1 May,4\n2 May,5,5\n", None, "a.csv, line 3: 3 cells, but line 1 has 2"),
        ('t\n4\n"5"6\n', None, "a.csv, line 3: no CSV"),
        ('t\n4\n"5\n', None, "no CSV"),
        ("t\n\udcff\n", None, "a.csv cannot be read: it is not text in UTF-8"),
    ],
)
def test_csv_files_that_cannot_be_used(text, column, words, folder, capsys):
    (folder / "a.csv").write_bytes(text.encode(errors="surrogateescape"))
    assert run("a.csv", *(["--column", column] if column else []), "--json", "out.json") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert [path.name for path in folder.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("none.csv", "none.csv: there is no such file"),
        (".", ". cannot be read: Is a directory"),
        ("--column t", "--column is for a file; name a CSV file as well"),
        ("--beta 0.9,big", "--beta 0.9,big: 'big' is not a number"),
        ("--beta 0.9,", "'' is not a number"),
        ("--beta 1", "--beta must be in [0, 1), got 1.0"),
        ("--beta nan", "--beta must be a number, got nan"),
        ("--beta 0.1,0.2,0.3,0.4,0.5,0.6,0.7", "at most 6 averages can be told apart"),
        ("--plot x.doc", "--plot x.doc: the name must end in .png, .pdf, .svg"),
        ("--json nowhere/x.json", "there is no folder nowhere"),
        ("--plot x.svg --json x.svg", "--plot and --json are the same file"),
        ("x.csv --no-plot --json x.csv", "the data and --json are the same file"),
    ],
)
def test_options_that_cannot_be_used(args, words, folder, capsys):
    assert run(*args.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not list(folder.iterdir())
