"""`gpuopt train`: the options, and the order of things."""

from pathlib import Path
from typing import Annotated

from typer import Option

from gpuopt.commands.output import check_writable, write_json, written
from gpuopt.errors import InputError

PLOT = Path("gpuopt-train.png")


def train(
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
            help="Learning rate for all, or adam=0.001,sgd=0.1. Default: one for each optimizer.",
        ),
    ] = None,
    batch_size: Annotated[int, Option(help="Examples in a mini-batch.")] = 64,
    epochs: Annotated[int, Option(help="Passes through the training set.")] = 20,
    hidden: Annotated[
        str, Option(metavar="N,N", help="Sizes of the hidden layers, or none.")
    ] = "256,128",
    l2: Annotated[float, Option(help="Lambda: adds lambda / (2 batch-size) sum ||W||^2.")] = 0.0,
    seed: Annotated[int, Option(help="Fixes split, initial parameters and batches.")] = 0,
    device: Annotated[
        str, Option(help="auto, cpu, cuda or cuda:N. auto takes the GPU if there is one.")
    ] = "auto",
    backend: Annotated[
        str | None, Option(help="The optimizer's backend. Default: the device's best.")
    ] = None,
    plot: Annotated[Path, Option(help="Where to write the plot (.png, .pdf or .svg).")] = PLOT,
    no_plot: Annotated[bool, Option("--no-plot", help="Write no plot.")] = False,
    json: Annotated[
        Path | None, Option(metavar="FILE", help="Write settings, losses and times as JSON.")
    ] = None,
    data: Annotated[
        Path | None,
        Option(
            metavar="FILE.npz",
            help="Arrays X (m, n_x) and Y (m,) of labels 0, 1, ...; X_test and Y_test if you have "
            "them. Default: scikit-learn's handwritten digits.",
        ),
    ] = None,
) -> None:
    """Train a small network with several optimizers side by side, and compare them.

    All start from the same parameters and see the same mini-batches. Prints a table and plots the
    loss against steps and time.
    """
    picture = None if no_plot else plot
    from rich.console import Console

    from gpuopt import pictures
    from gpuopt.info import versions
    from gpuopt.training import data as sources
    from gpuopt.training import device as devices
    from gpuopt.training import figure, progress, report, run
    from gpuopt.training import settings as options

    names = options.optimizer_names(optimizer or [])
    settings = options.Settings(
        lr=options.learning_rates(names, lr),
        hidden=options.hidden_layers(hidden),
        batch_size=batch_size,
        epochs=epochs,
        l2=l2,
        seed=seed,
    )
    check_writable("--plot", picture, pictures.SUFFIXES)
    check_writable("--json", json)
    if picture is not None:
        pictures.need_matplotlib()
        if json is not None and picture.resolve() == json.resolve():
            raise InputError(f"--plot and --json are the same file, {json}; give two names")
    place = devices.choose(device, backend)
    rng = run.stream(settings, run.SPLIT)
    examples = sources.from_file(data, rng) if data else sources.digits(rng)
    run.check_fit(examples, settings)

    results = progress.run_all(names, examples, settings, place, backend)
    title = report.description(examples, settings, place.name)
    if picture is not None:
        with written("--plot", picture) as target:
            figure.draw(results, title, target, picture.suffix[1:].lower())
    write_json(json, report.as_json(results, examples, settings, place.name, versions()))
    console = Console(highlight=False)
    console.print(title)
    console.print(report.table(results))
    console.print(report.EXPLANATION, style="dim")
    for what, path in (("plot", picture), ("numbers", json)):
        if path is not None:
            console.print(f"{what}: {path}", soft_wrap=True)
