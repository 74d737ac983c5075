"""The picture of `gpuopt fit`: what training takes by batch size, predicted and measured."""

from pathlib import Path

import numpy as np

from gpuopt.memory.report import FitReport
from gpuopt.memory.units import size as words
from gpuopt.pictures import BLUE, GREEN, RED, picture

POINTS = 65  # of the curve


def draw(report: FitReport, sizes: tuple[int, int], title: str, path: Path, kind: str) -> None:
    """Write the picture for batch sizes from and to `sizes` to `path`, as a png, pdf or svg."""
    low, high = sizes
    batch = np.unique(np.geomspace(low, high, POINTS).round().astype(int))
    curve = [report.predict(int(b)) for b in batch]
    dots = {b: m + report.seen.outside for b, m in report.seen.measured.items()}
    dots |= {v.batch_size: v.measured + report.seen.outside for v in report.verified if v.measured}
    inside = {b: m for b, m in sorted(dots.items()) if low <= b <= high}
    with picture(path, (8, 4.8), kind) as figure:
        axes = figure.subplots()
        axes.plot(batch, curve, color=BLUE, linewidth=1.8, label="predicted")
        if inside:
            axes.plot(
                list(inside), list(inside.values()), "o", color=GREEN, markersize=5, zorder=3,
                label="measured",
            )  # fmt: skip
        axes.axhline(
            report.budget.bytes, color=RED, linestyle=(0, (5, 2)), linewidth=1.5,
            label=f"budget: {words(report.budget.bytes)}",
        )  # fmt: skip
        if low <= report.largest <= high:
            axes.axvspan(report.largest, high, color=RED, alpha=0.07, linewidth=0)
            axes.axvline(
                report.largest, color="0.4", linestyle=":", linewidth=1.2,
                label=f"largest that fits: {report.largest}",
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.yaxis.set_major_formatter(lambda y, _: words(round(y)))
        axes.set(xlabel="examples in a mini-batch", ylabel="memory beyond what is taken now")
        axes.grid(alpha=0.25)
        axes.margins(x=0.02)
        figure.legend(loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(title, fontsize=11)
