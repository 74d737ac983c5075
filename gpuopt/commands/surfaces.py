"""`gpuopt surfaces`: the paths of optimizers on a bowl, at a saddle point and on a plateau."""

from pathlib import Path
from typing import Annotated

from typer import Option

from gpuopt.commands.output import check_files, show_files, write_json, written
from gpuopt.errors import InputError

PLOT = Path("gpuopt-surfaces.png")


def surfaces(
    optimizer: Annotated[
        list[str] | None,
        Option(
            metavar="NAME[,NAME]",
            help="Any of sgd, momentum, rmsprop, adam, adamw; repeatable. Default: the first four.",
        ),
    ] = None,
    lr: Annotated[
        str | None,
        Option(
            metavar="NUMBER",
            help="Learning rate for all, or adam=0.1,sgd=1. Default: the best of a grid, on the "
            "bowl.",
        ),
    ] = None,
    steps: Annotated[int, Option(help="Steps of each optimizer on each surface.")] = 600,
    backend: Annotated[str, Option(help="The optimizers' backend: numpy or numba.")] = "numpy",
    plot: Annotated[Path, Option(help="Where to write the plot (.png, .pdf or .svg).")] = PLOT,
    no_plot: Annotated[bool, Option("--no-plot", help="Write no plot.")] = False,
    animate: Annotated[
        Path | None, Option(metavar="FILE.gif", help="Write the paths as an animation.")
    ] = None,
    json: Annotated[
        Path | None, Option(metavar="FILE", help="Write settings, paths and costs as JSON.")
    ] = None,
) -> None:
    """Draw the paths of gradient descent, momentum, RMSprop and Adam on three small surfaces.

    An elongated bowl, a saddle point and a plateau, each of two parameters. All paths start at the
    same point. Prints a table of the steps they take, and plots contours and paths.
    """
    from rich.console import Console

    from gpuopt.info import versions
    from gpuopt.surfaces import paths, report
    from gpuopt.training import settings as options
    from gpuopt.training.report import finite

    names = options.optimizer_names(optimizer or [])
    rates = given_rates(names, lr)
    if steps < 1:
        raise InputError(f"--steps {steps}: must be at least 1")
    check_backend(backend)
    picture = None if no_plot else plot
    check_files(plot=picture, animate=animate, json=json)

    runs = {}
    for name in names:
        make = options.MAKERS[name]
        rate = rates[name] if name in rates else paths.best_rate(make, backend)
        runs[name] = paths.run(make, rate, steps, backend)
    if picture is not None:
        from gpuopt.surfaces import figure

        with written("--plot", picture) as target:
            figure.draw(runs, target, picture.suffix[1:].lower())
    if animate is not None:
        from gpuopt.surfaces import animation

        with written("--animate", animate) as target:
            animation.animate(runs, target)
    write_json(json, finite(report.as_json(runs, rates, steps, backend, versions())))
    console = Console(highlight=False, markup=False)
    console.print(report.CAPTION)
    console.print(report.table(runs))
    console.print(report.explanation(runs, rates), style="dim")
    show_files(console, plot=picture, animation=animate, numbers=json)


def given_rates(names: list[str], given: str | None) -> dict[str, float]:
    """The learning rates that `--lr` gives; without those that it leaves to the program."""
    from gpuopt.training.settings import learning_rates

    rates = learning_rates(names, given)
    if given is None:
        return {}
    if "=" not in given:
        return rates
    named = [part.partition("=")[0].strip().lower() for part in given.split(",")]
    return {name: rates[name] for name in named}


def check_backend(name: str) -> None:
    from gpuopt import backends

    if name not in backends.CPU:
        known = " or ".join(backends.CPU)
        raise InputError(f"--backend {name}: the points lie in main memory; give {known}")
    reason = backends.unavailable(name)
    if reason:
        raise InputError(f"--backend {name}: {reason}")
