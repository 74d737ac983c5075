"""`gpuopt surfaces`: the table, the files, and what cannot be asked for."""

import json
import re

import numpy as np
import pytest
from matplotlib.image import imread

from gpuopt import backends
from gpuopt.cli import main

QUICK = "surfaces --lr sgd=1.9,momentum=3.7,rmsprop=0.14,adam=0.1 --steps 6"
DONE = {
    "bowl": lambda p: np.hypot(*p.T) <= 0.1,
    "saddle": lambda p: np.abs(p[:, 1]) >= 10,
    "plateau": lambda p: 1 - np.exp(-(p[:, 0] ** 2 / 9 + p[:, 1] ** 2) / 2) <= 0.5,
}
HOLD = {"bowl": 300, "saddle": 1, "plateau": 1}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def default(tmp_path_factory):
    """What the command prints and writes by default, with a JSON file and no pictures."""
    import contextlib
    import io

    file, out = tmp_path_factory.mktemp("surfaces") / "out.json", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["surfaces", "--no-plot", "--json", str(file)]) == 0
    return out.getvalue(), json.loads(file.read_text())


def arrival(name, points):
    done = DONE[name](points)
    stays = [t for t in range(len(done)) if done[t : t + HOLD[name]].all()]
    return stays[0] if stays else None


def test_the_table_says_what_the_paths_say(default):
    out, report = default
    rows = dict(zip(report["optimizers"], re.findall(r"^ \S.* [\d.]+ .*$", out, re.M), strict=True))
    for name, found in report["optimizers"].items():
        points = {surface: np.array(path["points"]) for surface, path in found["paths"].items()}
        steps = [arrival(surface, points[surface]) for surface in DONE]
        assert [path["arrived"] for path in found["paths"].values()] == steps
        up_and_down = np.abs(np.diff(points["bowl"][: steps[0] + 1, 1])).sum()
        assert rows[name].split()[-5:] == [
            f"{found['lr']:g}",
            *map(str, steps),
            f"{up_and_down:.1f}",
        ]


def test_the_costs_belong_to_the_points(default):
    for found in default[1]["optimizers"].values():
        x, y = np.array(found["paths"]["plateau"]["points"]).T
        costs = 1 - np.exp(-(x**2 / 9 + y**2) / 2)
        np.testing.assert_allclose(found["paths"]["plateau"]["costs"], costs, rtol=1e-12, atol=0)


def test_the_picture_teaches_what_the_course_notes_say(default):
    runs = default[1]["optimizers"]
    steps = {
        surface: {name: run["paths"][surface]["arrived"] for name, run in runs.items()}
        for surface in DONE
    }
    swings = {name: run["paths"]["bowl"]["way_in_y"] for name, run in runs.items()}
    assert min(steps["bowl"], key=steps["bowl"].get) == "rmsprop"
    for name in ("momentum", "rmsprop", "adam"):
        assert swings[name] < swings["sgd"] / 2
        assert all(steps[surface][name] < 0.7 * steps[surface]["sgd"] for surface in DONE)
    for name in ("rmsprop", "adam"):
        assert steps["plateau"][name] < steps["plateau"]["sgd"] / 5


def test_all_start_from_the_same_point_and_take_the_steps_asked_for(default):
    report = default[1]
    assert list(report["optimizers"]) == ["sgd", "momentum", "rmsprop", "adam"]
    assert report["steps"] == 600
    for found in report["optimizers"].values():
        for surface, path in found["paths"].items():
            assert path["points"][0] == report["surfaces"][surface]["start"]
            assert len(path["points"]) == len(path["costs"]) == 601


def test_the_output_states_tasks_and_rates(default):
    out, report = default
    words = " ".join(out.split())
    for name, surface in report["surfaces"].items():
        assert f"{name}: {surface['cost']}, from (" in words
        assert surface["task"] in words
    assert "stays within 0.1 of the minimum (for 300 steps, or to the last)" in words
    assert "lr: of 22 from 0.01 to 10, the smallest whose steps" in words
    assert max(map(len, out.splitlines())) <= 80
    assert report["versions"]["gpuopt"]
    assert report["optimizers"]["adam"]["rule"].startswith("Adam(betas=(0.9, 0.999)")
    assert {run["lr_from"][:6] for run in report["optimizers"].values()} == {"of 22 "}


def test_never_is_said_with_the_number_of_steps(folder, capsys):
    args = "surfaces --no-plot --optimizer sgd --lr 1e-9 --steps 7 --json o.json"
    assert main(args.split()) == 0
    assert capsys.readouterr().out.count("not within 7") == 3
    path = json.loads((folder / "o.json").read_text())["optimizers"]["sgd"]["paths"]["bowl"]
    assert (path["arrived"], path["way_in_y"]) == (None, None)


def test_a_rate_that_is_too_large_is_no_crash(folder, capsys):
    args = "surfaces --optimizer sgd --lr 1e300 --steps 20 --animate x.gif --json x.json"
    assert main(args.split()) == 0
    assert "diverged" in capsys.readouterr().out
    assert imread("gpuopt-surfaces.png").shape == (705, 1800, 4)
    bowl = json.loads((folder / "x.json").read_text())["optimizers"]["sgd"]["paths"]["bowl"]
    assert bowl["costs"][-1] is None
    assert bowl["points"][-1] == [None, None]


@pytest.mark.parametrize(("kind", "start"), [("pdf", b"%PDF"), ("SVG", b"<?xml")])
def test_the_plot_has_the_format_of_its_name(kind, start, folder):
    args = "surfaces --optimizer sgd --lr 1.9 --steps 5 --plot"
    assert main([*args.split(), f"x.{kind}"]) == 0
    assert [file.name for file in folder.iterdir()] == [f"x.{kind}"]
    assert (folder / f"x.{kind}").read_bytes().startswith(start)


def test_the_same_command_writes_the_same_bytes(folder):
    written = []
    for _ in range(2):
        assert main([*QUICK.split(), "--animate", "x.gif", "--json", "x.json"]) == 0
        written.append([file.read_bytes() for file in sorted(folder.iterdir())])
    assert len(written[0]) == 3
    assert written[0] == written[1]


def test_only_the_rates_left_out_are_looked_for(folder, capsys):
    args = "surfaces --no-plot --optimizer Adam,sgd --lr ADAM=0.002 --steps 5 --json x.json"
    assert main(args.split()) == 0
    runs = json.loads((folder / "x.json").read_text())["optimizers"]
    assert list(runs) == ["adam", "sgd"]
    assert (runs["adam"]["lr"], runs["adam"]["lr_from"]) == (0.002, "--lr")
    assert runs["sgd"]["lr"] == 1.9
    assert "lr, where not given: of 22" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("--optimizer lion2", "'lion2': there is no such optimizer; choose of sgd"),
        ("--lr -1", "lr must be finite and >= 0, got -1.0"),
        ("--lr adamw=0.1", "'adamw' is not among the optimizers sgd, momentum"),
        ("--steps 0", "--steps 0: must be at least 1"),
        ("--steps few", "Invalid value for '--steps'"),
        ("--backend cupy", "--backend cupy: the points lie in main memory; give numba or numpy"),
        ("--backend numba", "--backend numba: no Numba"),
        ("--plot x.gif", "--plot x.gif: the name must end in .png, .pdf, .svg"),
        ("--animate x.mp4", "--animate x.mp4: the name must end in .gif"),
        ("--animate nowhere/x.gif", "there is no folder nowhere"),
        ("--json .", "--json . is a folder"),
        ("--plot x.svg --json x.svg", "--plot and --json are the same file"),
        ("--animate x.gif --json x.gif", "--animate and --json are the same file"),
    ],
)
def test_what_cannot_be_asked_for(args, words, folder, capsys, monkeypatch):
    monkeypatch.setattr(backends, "unavailable", {"numba": "no Numba"}.get)
    assert main(["surfaces", *args.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert not list(folder.iterdir())


def test_without_matplotlib_the_line_says_how_to_do_without(folder, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert main(QUICK.split()) == 2
    assert "or give --no-plot and no --animate" in capsys.readouterr().err
    assert main([*QUICK.split(), "--no-plot"]) == 0
