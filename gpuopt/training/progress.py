"""A progress bar on stderr while `gpuopt train` runs; none where stderr is no terminal."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gpuopt.pictures import TITLES
from gpuopt.training.data import Data
from gpuopt.training.device import Device
from gpuopt.training.resume import Checkpoint
from gpuopt.training.run import Result, Run, train
from gpuopt.training.settings import Settings
from gpuopt.training.start import steps_per_epoch


def run_all(
    names: Sequence[str],
    data: Data,
    settings: Settings,
    device: Device,
    backend: str | None,
    checkpoint: Checkpoint,
) -> dict[str, Result]:
    """Train with each optimizer in turn, but for those that the checkpoint has finished."""
    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} steps, {task.fields[state]}"),
        TimeRemainingColumn(),
    )
    hidden = not sys.stderr.isatty()
    console = Console(stderr=True, quiet=hidden)  # disable alone: rich < 14.3 prints an empty line
    with (
        checkpoint.listening(),
        Progress(*columns, console=console, disable=hidden, transient=True) as bar,
    ):
        for name in names:
            if name in checkpoint.finished:
                continue
            total = settings.epochs * steps_per_epoch(data, settings)
            task = bar.add_task(TITLES[name], total=total, state="compiling")

            def after_step(run: Run, task=task) -> None:
                losses = run.history.losses
                bar.update(task, completed=len(losses), state=f"loss {losses[-1]:.4f}")
                checkpoint.after_step(run)

            hooks = (after_step, checkpoint.restore, checkpoint.finish)
            train(name, data, settings, device, backend, *hooks)
    return {name: checkpoint.finished[name] for name in names}
