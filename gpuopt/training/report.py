"""What `gpuopt train` found, as a table for people and as JSON for programs."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from gpuopt.gradcheck import GradientCheck
from gpuopt.pictures import TITLES
from gpuopt.training.data import Data
from gpuopt.training.run import Result
from gpuopt.training.settings import Settings


def description(data: Data, settings: Settings, device: str) -> str:
    """One line: what was trained, on what, how and where."""
    sizes = "-".join(map(str, (data.X.shape[0], *settings.hidden, data.classes)))
    epochs = f"{settings.epochs} epoch{'s' * (settings.epochs > 1)}"
    parts = [
        f"{data.name}: {sizes} network",
        "" if settings.normalize else "inputs not normalised",
        epochs,
        f"batches of {settings.batch_size} of {data.X.shape[1]}",
        f"L2 {settings.l2:g}" if settings.l2 else "",
        f"schedule {settings.schedule}" if settings.schedule else "",
        "" if settings.average is None else f"average {settings.average:g}",
        device,
    ]
    return ", ".join(filter(None, parts))


def explanation(settings: Settings) -> str:
    """What the columns of the table mean."""
    averaged = "" if settings.average is None else "averaged: with averages of the weights. "
    return (
        "final loss: mean cross-entropy over the training set, without L2. "
        f"{averaged}Times leave out compiling and evaluation."
    )


def table(results: Mapping[str, Result]) -> Table:
    """One row for each optimizer; the best accuracy is bold."""
    table = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("optimizer", no_wrap=True)
    headings = ["lr", "final loss", "test accuracy", "seconds", "in the optimizer"]
    if any(r.averaged_accuracy is not None for r in results.values()):
        headings.insert(3, "averaged")
        headings = ["\n".join(heading.rsplit(" ", 1)) for heading in headings]  # 80 columns
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    best = max(result.accuracy for result in results.values())
    for name, r in results.items():
        loss = f"{r.loss:.4f}" if math.isfinite(r.loss) else "diverged"
        share = r.seconds_in_optimizer / r.seconds if r.seconds else 0.0
        of_averages = [] if r.averaged_accuracy is None else [f"{r.averaged_accuracy:.4f}"]
        table.add_row(
            TITLES[name],
            f"{r.lr:g}",
            loss,
            f"{r.accuracy:.4f}",
            *of_averages,
            f"{r.seconds:.3f}",
            f"{r.seconds_in_optimizer:.3f} ({share:.0%})",
            style="bold" if r.accuracy == best and len(results) > 1 else None,
        )
    return table


def as_json(
    results: Mapping[str, Result],
    data: Data,
    settings: Settings,
    device: str,
    versions: Any,
    checked: GradientCheck | None = None,
) -> dict[str, Any]:
    """Everything a program needs to redo the table and the picture, or to repeat the run.

    A loss that is not finite is null.
    """
    return {
        "command": "train",
        "versions": versions,
        "device": device,
        "data": {
            "name": data.name,
            "features": data.X.shape[0],
            "classes": data.classes,
            "training_examples": data.X.shape[1],
            "test_examples": data.X_test.shape[1],
        },
        "settings": asdict(settings),
        "gradient_check": checked and {"passed": checked.passed, **asdict(checked)},
        "optimizers": {name: finite(asdict(result)) for name, result in results.items()},
    }


def finite(value: Any) -> Any:
    """`value` with null for every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
