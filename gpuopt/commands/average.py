"""`gpuopt average`: exponentially weighted averages of a series, as a table and a picture."""

from pathlib import Path
from typing import Annotated, Any, NamedTuple

from typer import Argument, Option

from gpuopt.commands.output import check_files, show_files, write_json, written
from gpuopt.errors import InputError, input_errors

PLOT = Path("gpuopt-average.png")
EXPLANATION = (
    "window: about how many values are averaged, 1 / (1 - beta). Without bias correction the "
    "averages start near 0."
)


class Series(NamedTuple):
    """Numbers in a row: where they are from, what they are, and what each one of them is."""

    source: str
    name: str
    unit: str
    values: list[float]


class Curve(NamedTuple):
    """The averages with one beta."""

    beta: float
    window: float
    corrected: list[float]
    uncorrected: list[float]


def average(
    file: Annotated[
        Path | None,
        Argument(
            metavar="FILE.csv",
            help="Numbers in a column of a CSV file. Default: a year of daily temperatures.",
        ),
    ] = None,
    column: Annotated[
        str | None,
        Option(metavar="NAME", help="Which column: its name, or its number from 1."),
    ] = None,
    beta: Annotated[
        str, Option(metavar="N,N", help="Weights of the past, each in [0, 1).")
    ] = "0.5,0.9,0.98",
    plot: Annotated[Path, Option(help="Where to write the plot (.png, .pdf or .svg).")] = PLOT,
    no_plot: Annotated[bool, Option("--no-plot", help="Write no plot.")] = False,
    json: Annotated[
        Path | None, Option(metavar="FILE", help="Write the values and their averages as JSON.")
    ] = None,
) -> None:
    """Average a series with exponentially decaying weights, with and without bias correction.

    Prints a table and plots the averages over the values. The temperatures are made by a formula.
    """
    picture = None if no_plot else plot
    from rich.console import Console

    from gpuopt.averages import effective_window, ewma
    from gpuopt.info import versions

    betas = parse_betas(beta)
    check_files(read=file, plot=picture, json=json)
    series = read(file, column)
    curves = []
    for b in betas:
        averages = [ewma(series.values, b, corrected).tolist() for corrected in (True, False)]
        curves.append(Curve(b, effective_window(b), *averages))
    if picture is not None:
        with written("--plot", picture) as target:
            draw(series, curves, target, picture.suffix[1:].lower())
    found = {"data": series._asdict(), "averages": [curve._asdict() for curve in curves]}
    write_json(json, {"command": "average", "versions": versions(), **found})
    console = Console(highlight=False, markup=False)
    console.print(f"{series.source}: {series.name}, {len(series.values)} {series.unit}s")
    console.print(table(series, curves))
    console.print(EXPLANATION, style="dim")
    show_files(console, plot=picture, numbers=json)


def parse_betas(given: str) -> list[float]:
    """The numbers in `--beta`, each once."""
    from gpuopt.checks import decay_rate

    betas = []
    for word in given.split(","):
        try:
            number = float(word)
        except ValueError:
            raise InputError(f"--beta {given}: {word!r} is not a number; try 0.9,0.98") from None
        with input_errors(ValueError):
            betas.append(decay_rate("--beta", number))
    betas = list(dict.fromkeys(betas))
    if len(betas) > 6:
        raise InputError(f"--beta {given}: at most 6 averages can be told apart")
    return betas


def read(file: Path | None, column: str | None) -> Series:
    from gpuopt.commands.csv_column import read_column
    from gpuopt.temperatures import temperatures

    if file is not None:
        name, values = read_column(file, column)
        return Series(file.name, name, "row", values.tolist())
    if column is not None:
        raise InputError("--column is for a file; name a CSV file as well")
    days = temperatures().tolist()
    return Series("a made-up year in London", "temperature (°F)", "day", days)


def table(series: Series, curves: list[Curve]) -> Any:
    """One line for each beta: its window, and its first and last average."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    unit, count = series.unit, len(series.values)
    found = Table(header_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    headings = f"beta,window ({unit}s),{unit} 1,{unit} 1 without correction,{unit} {count}"
    for heading in headings.split(","):
        found.add_column(heading, justify="right")
    for c in curves:
        averages = (c.corrected[0], c.uncorrected[0], c.corrected[-1])
        found.add_row(f"{c.beta:g}", f"{c.window:.4g}", *(f"{value:#.4g}" for value in averages))
    return found


def draw(series: Series, curves: list[Curve], path: Path, kind: str) -> None:
    """All values with their corrected averages, and the start with the uncorrected ones as well."""
    import numpy as np

    from gpuopt.pictures import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY, picture

    t = np.arange(1, len(series.values) + 1)
    start = min(len(t), max(20, round(2 * max(c.window for c in curves))))
    with picture(path, (10, 4.6), kind) as figure:
        everything, beginning = figure.subplots(1, 2, width_ratios=(1.7, 1))
        for axes, count in ((everything, len(t)), (beginning, start)):
            axes.plot(
                t[:count],
                series.values[:count],
                ".",
                color=BLACK,
                alpha=0.3,
                markersize=4,
                label=f"one {series.unit}",
            )
            for c, color in zip(curves, (ORANGE, RED, GREEN, BLUE, PINK, SKY), strict=False):
                label = f"β = {c.beta:g} (about {c.window:.4g} {series.unit}s)"
                axes.plot(t[:count], c.corrected[:count], color=color, linewidth=1.5, label=label)
                if axes is beginning:
                    axes.plot(t[:count], c.uncorrected[:count], "--", color=color, linewidth=1.5)
            axes.set(xlabel=series.unit)
            axes.grid(alpha=0.25)
            axes.margins(x=0.02)
        everything.set(ylabel=plain(series.name))
        beginning.set_title(f"the first {start} {series.unit}s", fontsize=10)
        beginning.plot([], [], "--", color=BLACK, label="without bias correction")
        figure.legend(
            *beginning.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=3,
            frameon=False,
        )
        figure.suptitle(f"exponentially weighted averages: {plain(series.source)}", fontsize=11)


def plain(text: str) -> str:
    """`text` as matplotlib shall show it: a dollar is no formula's beginning."""
    return text.replace("$", r"\$")
