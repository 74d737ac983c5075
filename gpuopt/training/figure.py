"""The picture of `gpuopt train`: loss against step and against time."""

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gpuopt.averages import ewma
from gpuopt.pictures import STYLES, TITLES, picture
from gpuopt.training.run import Result

BETA = 0.9  # of the smoothed curve: about the last 10 steps


def smoothed(losses: np.ndarray) -> np.ndarray:
    """The exponentially weighted geometric mean, on a logarithmic axis the values' middle, of those
    that are finite and above 0; NaN at the others."""
    shown = np.isfinite(losses) & (losses > 0)
    values = np.full(len(losses), np.nan)
    values[shown] = np.exp(ewma(np.log(losses[shown]), BETA))
    return values


def draw(results: Mapping[str, Result], title: str, path: Path, kind: str) -> None:
    """Write the picture to `path`, as a png, pdf or svg (`kind`).

    Steps whose loss is not finite, or 0, are left out.
    """
    with picture(path, (10, 4.6), kind) as figure:
        left, right = figure.subplots(1, 2, sharey=True)
        for name, result in results.items():
            losses = np.array(result.losses)
            losses[~(np.isfinite(losses) & (losses > 0))] = np.nan
            steps = np.arange(1, len(losses) + 1)
            color, dashes = STYLES[name]
            diverged = ", diverged" * (not np.isfinite(result.loss))
            label = f"{TITLES[name]} (lr {result.lr:g}{diverged})"
            for axes, x in ((left, steps), (right, 1e3 * np.array(result.at))):
                axes.plot(x, losses, color=color, alpha=0.18, linewidth=0.7)
                axes.plot(
                    x, smoothed(losses), color=color, linestyle=dashes, linewidth=1.8, label=label
                )
        left.set(xlabel="step", ylabel="cost of the mini-batch J (nats)", yscale="log")
        right.set(xlabel="time, forward and backward pass and step (ms)")
        for axes in (left, right):
            axes.grid(alpha=0.25)
            axes.margins(x=0.02)
        figure.legend(
            *left.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(results) if len(results) < 5 else 3,
            frameon=False,
        )
        figure.suptitle(textwrap.fill(title, 110), fontsize=11)
