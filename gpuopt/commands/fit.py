"""`gpuopt fit`: which mini-batches fit in memory, from the shapes of a network alone."""

from pathlib import Path
from typing import Annotated, Any

from typer import Exit, Option

from gpuopt.commands.output import check_files, write_json, written
from gpuopt.errors import InputError, input_errors

PLOT = Path("gpuopt-fit.png")


def fit(
    layers: Annotated[
        str, Option(metavar="N-N-...", help="Features, hidden layers, classes.")
    ] = "784-512-512-10",
    optimizer: Annotated[str, Option(help="sgd, momentum, rmsprop, adam or adamw.")] = "adam",
    dtype: Annotated[str, Option(help="float32 or float64.")] = "float32",
    batch: Annotated[
        str, Option(metavar="N or N:N", help="A batch size to judge, or the range to look in.")
    ] = "64:8192",
    budget: Annotated[
        str | None, Option(metavar="BYTES", help="As 4GiB. Default: what this machine allows.")
    ] = None,
    effective_batch: Annotated[
        int | None, Option(help="A wanted batch; says how many mini-batches to accumulate.")
    ] = None,
    verify: Annotated[
        bool, Option("--verify", help="Run powers of two that fit, under a memory limit.")
    ] = False,
    time: Annotated[
        bool, Option("--time", help="Train with a few powers of two for equal times.")
    ] = False,
    seconds: Annotated[
        float | None,
        Option(help="Of training for each, with --time. Default: 2.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        Option(metavar="FILE.npz", help="For --time, as in gpuopt train. Default: made-up data."),
    ] = None,
    seed: Annotated[int, Option(help="Fixes parameters, batches and made-up data.")] = 0,
    device: Annotated[str, Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    plot: Annotated[Path, Option(help="Where to write the plot (.png, .pdf or .svg).")] = PLOT,
    no_plot: Annotated[bool, Option("--no-plot", help="Write no plot.")] = False,
    json: Annotated[Path | None, Option(metavar="FILE", help="Write the same as JSON.")] = None,
) -> None:
    """Say which mini-batches fit in memory, before running out of it, and draw the curve.

    Two steps with each of a few small mini-batches show what a step allocates; from that follows
    what any batch size takes. Exit code 1 where the network fits with no batch size at all.
    Your own training step: gpuopt.memory.fit in Python.
    """
    for name, value in (("--data", data), ("--seconds", seconds)):
        if value is not None and not time:
            raise InputError(f"{name} {value} is for --time; add --time, or leave out {name}")
    seconds = 2.0 if seconds is None else seconds
    from gpuopt.info import versions
    from gpuopt.memory import figure, text
    from gpuopt.training import device as devices
    from gpuopt.training import shapes

    picture = None if no_plot else plot
    check_files(read=data, plot=picture, json=json)
    wanted = shapes.Shapes(
        layers=shapes.layer_sizes(layers),
        optimizer=optimizer,
        dtype=dtype,
        batch=shapes.batch_range(batch),
        seed=seed,
    )
    place = devices.choose(device, None)
    title = f"{wanted}, {place.name}"
    about = {"command": "fit", "versions": versions(), "title": title}
    try:
        with input_errors(ValueError, TypeError):
            report = shapes.fit(wanted, place, budget, effective_batch, verify)
    except shapes.DoesNotFit as error:
        print(title)
        print(error)
        write_json(json, {**about, **error.about})
        raise Exit(1) from None
    print(title)
    print(report)
    rows: list[Any] = []
    if time:
        rows = shapes.time_sizes(wanted, place, report, seconds, data)
        print()
        print(shapes.table(rows, seconds))
    if picture is not None:
        low, high = wanted.batch
        with written("--plot", picture) as target:
            span = (min(low, 64), 2 * high) if low == high else (low, high)
            figure.draw(report, span, title, target, picture.suffix[1:].lower())
        print(f"plot: {picture}")
    write_json(json, {**about, **text.as_dict(report), "timed": [vars(row) for row in rows]})
