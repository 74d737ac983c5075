"""`gpuopt train`: the options, and the order of things."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from gpuopt.commands.output import check_files, show_files, write_json, written
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
    schedule: Annotated[
        str | None,
        Option(
            metavar="NAME[:NUMBER]",
            help="How lr changes. By epochs: inverse-time:1, exponential:0.95, sqrt:1, "
            "staircase:0.5:5. To a share of lr at the end: linear:0, cosine:0. With shares of the "
            "run: warmup-cosine:0.1, wsd:0.1:0.2 (warm up, stay, decay). Up to lr and down: "
            "one-cycle.",
        ),
    ] = None,
    average: Annotated[
        float | None,
        Option(
            metavar="DECAY",
            help="Keep an average of the weights, 0.99 of about the last 100 steps, and report "
            "its accuracy, too.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, Option(help="Examples in a mini-batch. Default: 64.", show_default=False)
    ] = None,
    fit: Annotated[
        bool,
        Option(
            "--fit",
            help="Choose the batch size: all of up to 2000 examples, else a power of two from 64 "
            "to 1024, if it fits in memory.",
        ),
    ] = False,
    epochs: Annotated[int, Option(help="Passes through the training set.")] = 20,
    hidden: Annotated[
        str, Option(metavar="N,N", help="Sizes of the hidden layers, or none.")
    ] = "256,128",
    l2: Annotated[float, Option(help="Lambda: adds lambda / (2 batch-size) sum ||W||^2.")] = 0.0,
    normalize: Annotated[
        bool, Option(help="Inputs to mean 0 and variance 1 in the training set, or as they are.")
    ] = True,
    gradient_check: Annotated[
        bool,
        Option(
            "--gradient-check",
            help="First compare the network's gradients with differences of its cost; exit code 1 "
            "if they disagree.",
        ),
    ] = False,
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
    checkpoint: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Save the run every so many steps, and when it is stopped by SIGTERM or Ctrl-C.",
        ),
    ] = None,
    save_every: Annotated[int, Option(help="Steps between two saves.")] = 500,
    resume: Annotated[
        bool,
        Option("--resume", help="Go on from --checkpoint, bit for bit, if the file is there."),
    ] = False,
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

    from gpuopt.info import versions
    from gpuopt.training import data as sources
    from gpuopt.training import device as devices
    from gpuopt.training import figure, gradients, progress, report, start
    from gpuopt.training import resume as resuming
    from gpuopt.training import settings as options

    names = options.optimizer_names(optimizer or [])
    settings = options.Settings(
        lr=options.learning_rates(names, lr),
        hidden=options.hidden_layers(hidden),
        batch_size=64 if batch_size is None else batch_size,
        epochs=epochs,
        l2=l2,
        seed=seed,
        schedule=schedule,
        normalize=normalize,
        average=average,
    )
    if fit and batch_size is not None:
        raise InputError(f"--fit chooses the batch size; leave out --batch-size {batch_size}")
    check_files(read=data, plot=picture, json=json, checkpoint=checkpoint)
    place = devices.choose(device, backend)
    rng = start.stream(settings, start.SPLIT)
    examples = sources.from_file(data, rng, normalize) if data else sources.digits(rng, normalize)
    if fit:
        from gpuopt.training import choose

        size, why = choose.fitting_batch_size(names, examples, settings, place)
        settings = dataclasses.replace(settings, batch_size=size)
        print(why)
    start.check_fit(examples, settings)
    run = resuming.identity(names, examples, settings, place.name, backend)
    saved = resuming.open_checkpoint(checkpoint, resume, save_every, run)

    checked = gradients.check(examples, settings, place) if gradient_check else None
    if checked is not None:
        print(checked)
        if not checked:
            raise Exit(1)
    try:
        results = progress.run_all(names, examples, settings, place, backend, saved)
    except resuming.Stopped as stopped:
        print(stopped, file=sys.stderr)
        raise Exit(stopped.exit_code) from None
    title = report.description(examples, settings, place.name)
    if picture is not None:
        with written("--plot", picture) as target:
            figure.draw(results, title, target, picture.suffix[1:].lower())
    found = report.as_json(results, examples, settings, place.name, versions(), checked)
    write_json(json, found)
    console = Console(highlight=False)
    console.print(title)
    console.print(report.table(results))
    console.print(report.explanation(settings), style="dim")
    show_files(console, plot=picture, numbers=json, checkpoint=checkpoint)
