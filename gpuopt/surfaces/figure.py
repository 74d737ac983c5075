"""The picture of `gpuopt surfaces`: contours, and the paths as far as the task is done."""

from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from gpuopt.pictures import STYLES, TITLES, picture
from gpuopt.surfaces.functions import SURFACES, Points, Surface
from gpuopt.surfaces.paths import Run
from gpuopt.surfaces.report import count

SIZE = (12.0, 4.7)  # inches
GREYS = LinearSegmentedColormap.from_list("greys", ["#cccccc", "#ffffff"])
FREE_CORNERS = {"bowl": "upper right", "saddle": "lower right", "plateau": "lower left"}
FAR = 1e3  # so far outside every panel that nothing of a line from there could be seen


def draw(runs: Mapping[str, Run], file: File, kind: str) -> None:
    """Write the picture to `file`, as a png, pdf or svg (`kind`). A dot is a step."""
    with picture(file, SIZE, kind) as figure:
        panels = draw_panels(figure, runs)
        for axes, optimizer, points, width in lines(panels, runs):
            color, dashes = STYLES[optimizer]
            axes.plot(*points.T, color=color, linestyle=dashes, linewidth=width)
            axes.plot(*points.T, ".", color=color, markersize=3.5)


def draw_panels(figure: Any, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Everything but the paths; the axes of each surface."""
    panels = dict(zip(SURFACES, figure.subplots(1, len(SURFACES)), strict=True))
    handles = [Line2D([], [], color=c, linestyle=dashes) for c, dashes in (STYLES[n] for n in runs)]
    for name, axes in panels.items():
        surface = SURFACES[name]
        draw_surface(axes, surface)
        formula = surface.formula.replace("^2", "²")
        axes.set_title(f"{surface.title}: {formula}\ndone when {surface.task}", fontsize=9.5)
        axes.set(xlabel="x", ylabel="y")
        steps = [count(run.paths[name]).replace("not within", ">") for run in runs.values()]
        axes.legend(handles, steps, title="steps", loc=FREE_CORNERS[name], fontsize=9)
    labels = [f"{TITLES[name]} (lr {run.lr:g})" for name, run in runs.items()]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(runs), frameon=False)
    return panels


def draw_surface(axes: Any, surface: Surface) -> None:
    """The surface from above, darker where it is lower; dotted, where the task is done."""
    across, up = (np.linspace(*span, 301) for span in surface.window)
    points = np.stack(np.meshgrid(across, up), axis=-1)
    cost = surface.cost(points)
    axes.contourf(across, up, cost, levels=(cost.min(), *surface.levels, cost.max()), cmap=GREYS)
    axes.contour(across, up, cost, levels=surface.levels, colors="#888888", linewidths=0.6)
    axes.contour(across, up, surface.missing(points), levels=[0], colors="black", linestyles=":")
    axes.plot(*surface.start, "o", color="black", markerfacecolor="white", zorder=5)
    axes.plot(0, 0, "*", color="black", markersize=11, zorder=5)
    for text, point, rise in (("start", surface.start, 8), (surface.centre, (0, 0), -20)):
        axes.annotate(text, point, (0, rise), textcoords="offset points", ha="center", fontsize=9)
    axes.set(xlim=surface.window[0], ylim=surface.window[1])
    axes.locator_params(nbins=6, steps=[1, 2, 5, 10])
    axes.spines[:].set_visible(True)


def lines(
    panels: Mapping[str, Any], runs: Mapping[str, Run]
) -> Iterator[tuple[Any, str, Points, float]]:
    """Axes, optimizer, points (n, 2) and width of each line. The first drawn are the widest: they
    show under others on the same way. Points that no axis can hold are NaN."""
    widths = np.linspace(2.0, 1.1, len(runs))
    for name, axes in panels.items():
        for (optimizer, run), width in zip(runs.items(), widths, strict=True):
            way = run.paths[name].way
            near = (np.abs(way) < FAR).all(axis=-1, keepdims=True)
            yield axes, optimizer, np.where(near, way, np.nan), width
