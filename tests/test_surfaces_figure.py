"""The picture and the animation: every path in its colour, and axes that nothing moves."""

from contextlib import contextmanager

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from gpuopt.pictures import STYLES, TITLES
from gpuopt.surfaces import animation, figure
from gpuopt.surfaces.functions import SURFACES
from gpuopt.surfaces.paths import Path, Run, run
from gpuopt.training.settings import MAKERS

RATES = {"sgd": 1.9, "momentum": 3.7, "rmsprop": 0.14, "adam": 0.1}


@pytest.fixture(scope="module")
def runs():
    return {name: run(MAKERS[name], lr, 25, "numpy") for name, lr in RATES.items()}


def drawn(runs, monkeypatch):
    """The figure that `draw` makes, without writing it."""
    made = Figure(figsize=figure.SIZE, layout="constrained")

    @contextmanager
    def picture(path, size, kind):
        assert (path, size, kind) == ("x.png", figure.SIZE, "png")
        yield made

    monkeypatch.setattr(figure, "picture", picture)
    figure.draw(runs, "x.png", "png")
    return made


def test_each_panel_has_every_path_up_to_its_arrival(runs, monkeypatch):
    axes = drawn(runs, monkeypatch).axes
    assert len(axes) == len(SURFACES)
    for panel, surface in zip(axes, SURFACES, strict=True):
        for name, found in runs.items():
            color = STYLES[name][0]
            lines = [line for line in panel.lines if to_hex(line.get_color()) == color.lower()]
            path = found.paths[surface]
            expected = path.points[: 26 if path.arrived is None else path.arrived + 1]
            assert sum(np.array_equal(line.get_xydata(), expected) for line in lines) == 2


def test_labels_state_tasks_rates_and_steps(runs, monkeypatch):
    made = drawn(runs, monkeypatch)
    labels = [text.get_text() for text in made.legends[0].get_texts()]
    assert labels == [f"{TITLES[name]} (lr {lr:g})" for name, lr in RATES.items()]
    for panel, (name, surface) in zip(made.axes, SURFACES.items(), strict=True):
        assert panel.get_title().endswith(f"done when {surface.task}")
        words = [text.get_text() for text in panel.get_legend().get_texts()]
        arrived = [found.paths[name].arrived for found in runs.values()]
        assert words == ["> 25" if t is None else str(t) for t in arrived]
        assert {"start", surface.centre} == {text.get_text() for text in panel.texts}
    assert any("> 25" in text.get_text() for text in made.axes[2].get_legend().get_texts())


def test_legends_lie_clear_of_start_centre_and_paths(runs, monkeypatch):
    made = drawn(runs, monkeypatch)
    made.canvas.draw()
    for panel, surface in zip(made.axes, SURFACES, strict=True):
        box = panel.get_legend().get_window_extent()
        ways = np.concatenate([found.paths[surface].way for found in runs.values()])
        for x, y in panel.transData.transform([*ways, SURFACES[surface].start, (0, 0)]):
            assert not box.contains(x, y)


@pytest.mark.parametrize("values", [(300.0, -300.0), (1.0, 1e5), (1e300, -1e300), (np.inf, np.nan)])
def test_a_path_that_diverges_moves_no_axis(values, monkeypatch, tmp_path):
    def diverging(surface):
        points = np.array([surface.start, (0.5, 0.5), values, (0.1, 0.1)])
        return Path(points, points[:, 0], None)

    paths = {name: diverging(surface) for name, surface in SURFACES.items()}
    runs = {"sgd": Run("SGD()", 1.0, paths)}
    made = drawn(runs, monkeypatch)
    made.canvas.draw()
    for panel, surface in zip(made.axes, SURFACES.values(), strict=True):
        assert (panel.get_xlim(), panel.get_ylim()) == surface.window
        hidden = np.isnan(panel.lines[-1].get_xydata()).any(axis=1).tolist()
        assert hidden == [False, False, values != (300.0, -300.0), False]
    animation.animate(runs, tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as gif:
        assert gif.n_frames == 4


def test_the_animation_moves_each_point_along_its_path(runs, tmp_path):
    animation.animate(runs, tmp_path / "x.tmp")  # a GIF whatever its name
    with Image.open(tmp_path / "x.tmp") as gif:
        assert (gif.format, gif.info["loop"], gif.n_frames) == ("GIF", 0, 26)
        frames = []
        for k in range(gif.n_frames):
            gif.seek(k)
            frames.append(np.asarray(gif.convert("RGB")).astype(int)[35:310, 40:250])
    assert len({frame.tobytes() for frame in frames}) == 26
    for name in ("momentum", "adam"):
        color = [int(STYLES[name][0][k : k + 2], 16) for k in (1, 3, 5)]
        heads = [
            np.nonzero((np.abs(frame - color).max(axis=-1) < 12).any(axis=0))[0].max()
            for frame in frames[1:]
        ]
        assert heads[-1] > heads[0] + 30  # to the right, towards the minimum


def test_frames_go_from_the_first_step_to_the_last():
    def steps_of(arrived, steps=2000):
        points = np.zeros((steps + 1, 2))
        paths = dict.fromkeys(SURFACES, Path(points, points[:, 0], arrived))
        return animation.frame_steps({"sgd": Run("SGD()", 1.0, paths)})

    for arrived, last in ((700, 700), (None, 2000), (3, 3)):
        steps = steps_of(arrived)
        assert (steps[0], steps[-1]) == (0, last)
        assert len(steps) <= animation.FRAMES
        assert np.diff(steps).min() == 1


def test_tails_fade_also_after_the_arrival():
    panel = Figure().subplots()
    panel.draw_artist = lambda artist: None
    mover = animation.Mover(panel, "adam", np.arange(6.0).reshape(3, 2))
    alphas = []
    for step in (2, 2 + animation.TAIL // 2, 2 + 2 * animation.TAIL):
        mover.draw(step)
        alphas.append(mover.tail.get_color()[:, 3])
        assert mover.head.get_xydata().tolist() == [[4.0, 5.0]]
    np.testing.assert_allclose(alphas[0], [1 - 1 / animation.TAIL, 1])
    np.testing.assert_allclose(alphas[1], [0.5 - 1 / animation.TAIL, 0.5])
    np.testing.assert_allclose(alphas[2], [0.2, 0.2])
