"""A progress bar on stderr while `gpuopt train` runs; none where stderr is no terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gpuopt.pictures import TITLES
from gpuopt.training.data import Data
from gpuopt.training.device import Device
from gpuopt.training.run import Result, steps_per_run, train
from gpuopt.training.settings import Settings


def run_all(
    names: Sequence[str], data: Data, settings: Settings, device: Device, backend: str | None
) -> dict[str, Result]:
    """Train with each optimizer in turn."""
    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps, {task.fields[state]}"),
        TimeRemainingColumn(),
    )
    results = {}
    with Progress(
        *columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True
    ) as bar:
        for name in names:
            total = steps_per_run(data, settings)
            task = bar.add_task(TITLES[name], total=total, state="compiling")

            def advance(loss: float, task=task) -> None:
                bar.update(task, advance=1, state=f"loss {loss:.4f}")

            results[name] = train(name, data, settings, device, backend, advance)
    return results
