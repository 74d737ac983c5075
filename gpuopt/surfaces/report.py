"""What `gpuopt surfaces` found, as a table for people and as JSON for programs."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from gpuopt.pictures import TITLES
from gpuopt.surfaces.functions import SURFACES
from gpuopt.surfaces.paths import RATES, SLACK, Path, Run

CHOICE = (
    f"of {len(RATES)} from {RATES[0]:g} to {RATES[-1]:g}, the smallest whose steps in the bowl "
    f"are at most {SLACK - 1:.0%} above the fewest, and whose J is never above the start's"
)
CAPTION = "Steps until each task is done, and how far the point goes up and down in the bowl."
LONG_STEPS = (
    "RMSprop starts with long steps: its average of g^2 starts at 0, and only Adam corrects that."
)


def count(path: Path) -> str:
    """The number of steps to the end of the task, in words where there is none."""
    if path.arrived is not None:
        return str(path.arrived)
    if not np.isfinite(path.points[-1]).all():
        return "diverged"
    return f"not within {len(path.points) - 1}"


def way_in_y(path: Path) -> float | None:
    """How far the point went up and down until it arrived: what its swings add up to."""
    if path.arrived is None:
        return None
    return float(np.abs(np.diff(path.way[:, 1])).sum())


def table(runs: Mapping[str, Run]) -> Table:
    """One row for each optimizer."""
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("optimizer", no_wrap=True)
    for heading in ("lr", *SURFACES, "up and down"):
        table.add_column(heading, justify="right")
    for name, run in runs.items():
        counts = (count(run.paths[surface]) for surface in SURFACES)
        way = way_in_y(run.paths["bowl"])
        table.add_row(TITLES[name], f"{run.lr:g}", *counts, "-" if way is None else f"{way:.1f}")
    return table


def explanation(runs: Mapping[str, Run], given: Collection[str]) -> str:
    """The tasks, and where the learning rates come from; `given`: whose the user gave."""
    lines = []
    for name, surface in SURFACES.items():
        x, y = surface.start
        stay = f" (for {surface.in_a_row} steps, or to the last)" * (surface.in_a_row > 1)
        task = f"{surface.task}{stay}"
        lines.append(f"{name}: {surface.formula}, from ({x:g}, {y:g}) until {task}")
    if set(runs) - set(given):
        lines.append(f"lr{', where not given' * bool(given)}: {CHOICE}")
    if "rmsprop" in runs:
        lines.append(LONG_STEPS)
    return "\n".join(lines)


def as_json(
    runs: Mapping[str, Run], given: Collection[str], steps: int, backend: str, versions: Any
) -> dict[str, Any]:
    """Everything a program needs to redo the table and the picture, or to repeat the run."""
    return {
        "command": "surfaces",
        "versions": versions,
        "backend": backend,
        "steps": steps,
        "surfaces": {
            name: {"cost": s.formula, "start": s.start, "task": s.task, "in_a_row": s.in_a_row}
            for name, s in SURFACES.items()
        },
        "rates_tried": RATES,
        "optimizers": {
            name: {
                "rule": run.rule,
                "lr": run.lr,
                "lr_from": "--lr" if name in given else CHOICE,
                "paths": {surface: path_as_json(path) for surface, path in run.paths.items()},
            }
            for name, run in runs.items()
        },
    }


def path_as_json(path: Path) -> dict[str, Any]:
    return {
        "arrived": path.arrived,
        "way_in_y": way_in_y(path),
        "points": path.points.tolist(),
        "costs": path.costs.tolist(),
    }
