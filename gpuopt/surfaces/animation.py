"""The paths as an animated GIF: points that move along them, with tails that fade."""

from collections.abc import Iterable, Mapping
from pathlib import Path as File
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from gpuopt.pictures import STYLES
from gpuopt.surfaces.figure import SIZE, draw_panels, lines
from gpuopt.surfaces.paths import Run

DPI = 80
FRAMES = 120
MILLISECONDS, LAST = 80, 3000  # that a frame is shown
TAIL = 40  # steps


def frame_steps(runs: Mapping[str, Run]) -> np.ndarray:
    """The step that each frame shows, (frames,): slow at first: most arrive early."""
    last = max(len(path.way) for run in runs.values() for path in run.paths.values()) - 1
    return np.unique((last * np.linspace(0, 1, FRAMES) ** 2).round().astype(int))


def animate(runs: Mapping[str, Run], file: File) -> None:
    """Write the GIF to `file`."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    panels = draw_panels(figure, runs)
    clock = figure.text(0.01, 0.02, "")
    movers = [Mover(*line[:3]) for line in lines(panels, runs)]
    canvas.draw()
    background = canvas.copy_from_bbox(
        figure.bbox
    )  # drawn once; the points and tails, on a copy of it
    images = []
    for step in frame_steps(runs):
        canvas.restore_region(background)
        for mover in movers:
            mover.draw(step)
        clock.set_text(f"step {step}")
        figure.draw_artist(clock)
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    colors = palette(runs)
    frames = [image.quantize(palette=colors, dither=Image.Dither.NONE) for image in images]
    durations = [MILLISECONDS] * (len(frames) - 1) + [LAST]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def palette(optimizers: Iterable[str]) -> Image.Image:
    """An image with the colours of all frames: greys, and each optimizer's colour fading into the
    greys of the surfaces. A palette found in the frames mixes up blue and green: they are rare."""
    greys, faded = np.arange(0, 256, 3.0), []
    for name in optimizers:
        for alpha in np.linspace(0.1, 1, 11):
            for grey in (204, 230, 255):
                faded.append(alpha * 255 * np.array(to_rgb(STYLES[name][0])) + (1 - alpha) * grey)
    colors = np.concatenate([np.stack([greys] * 3, axis=1), faded]).round().astype(int)
    image = Image.new("P", (1, 1))
    image.putpalette(colors.ravel().tolist())
    return image


class Mover:
    """A point on its way (n, 2), which it has behind it as a line: bright over its last steps."""

    def __init__(self, axes: Any, optimizer: str, points: np.ndarray) -> None:
        self.axes, self.points = axes, points
        self.rgb = to_rgb(STYLES[optimizer][0])
        self.tail = LineCollection([], linewidths=2)
        axes.add_collection(self.tail, autolim=False)
        (self.head,) = axes.plot([], [], "o", color=self.rgb, markersize=6, markeredgecolor="white")

    def draw(self, step: int) -> None:
        way = self.points[: step + 1]
        self.tail.set_segments(list(np.stack([way[:-1], way[1:]], axis=1)))
        age = step - np.arange(1, len(way))
        self.tail.set_color([(*self.rgb, alpha) for alpha in np.clip(1 - age / TAIL, 0.2, 1)])
        self.head.set_data(*way[-1:].T)
        self.axes.draw_artist(self.tail)
        self.axes.draw_artist(self.head)
