"""`gpuopt bench`: the options, and the order of things. `gpuopt bench compare` beside it."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Exit, Option

from gpuopt.commands.bench_compare import compare
from gpuopt.commands.output import check_files, need_matplotlib, show_files, write_json
from gpuopt.errors import InputError

app = typer.Typer(invoke_without_command=True)
app.command()(compare)


@app.callback()
def bench(
    context: typer.Context,
    rules: Annotated[
        str | None,
        Option(
            metavar="NAME[,NAME]",
            help="Such as Adam,SGD, or all. Default: Adam at all sizes, and every rule at 1e7.",
            show_default=False,
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        Option(
            metavar="SIZE[,SIZE]",
            help="Numbers of parameters as 1e6, and lists: mlp, resnet50, gpt2, vit, small500. "
            "Default: 1e3 to 1e8, and all lists.",
            show_default=False,
        ),
    ] = None,
    tensors: Annotated[
        str, Option(metavar="N[,N]", help="Cut every number of parameters in N equal tensors.")
    ] = "1",
    dtypes: Annotated[
        str, Option(metavar="NAME[,NAME]", help="float32, float64, float16, bfloat16, or all.")
    ] = "float32",
    backends: Annotated[
        str,
        Option(
            metavar="NAME[,NAME]",
            help="numba, numpy, cupy, numba-cuda, or auto: the best of each device.",
        ),
    ] = "auto",
    peers: Annotated[
        str,
        Option(
            metavar="NAME[,NAME]",
            help="naive, torch, gpuopt.torch, thinc, gpuopt.thinc, optax, bitsandbytes, torchao; "
            "all or none. Those that are not installed are said to be missing.",
        ),
    ] = "all",
    repeat: Annotated[
        int | None,
        Option(help="Rounds in which all take turns. Default: up to 10.", show_default=False),
    ] = None,
    copies: Annotated[
        bool,
        Option("--copies", help="On a GPU also with gradients from the host, and parameters back."),
    ] = False,
    json: Annotated[
        Path | None, Option(metavar="FILE", help="Write what was measured as JSON.")
    ] = None,
    plot: Annotated[
        Path | None, Option(metavar="FOLDER", help="Write charts there, as PNG.")
    ] = None,
    quick: Annotated[
        bool, Option("--quick", help="In less than a minute: fewer rows, rules and rounds.")
    ] = False,
    seed: Annotated[int, Option(help="Fixes the numbers in all arrays.")] = 0,
    device: Annotated[
        str, Option(help="auto, cpu, cuda or cuda:N. auto is the CPU, and the GPU if there is one.")
    ] = "auto",
) -> None:
    """Measure what a step takes here, beside other optimizers and the machine's own limit.

    Everyone steps the same arrays, in turn, and only after taking the same steps as gpuopt. Prints
    a table for each list of parameters. Exit code 1 if a step of gpuopt's failed; a peer that does
    is named and not timed. Compare two runs:
    gpuopt bench compare A.json B.json.
    """
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console

    from gpuopt.bench import settings as options
    from gpuopt.bench.progress import progress
    from gpuopt.bench.run import run
    from gpuopt.training.report import finite

    settings = options.Settings(
        rules=options.rule_names(rules),
        sizes=options.sizes(sizes, tensors),
        dtypes=options.dtype_names(dtypes),
        backends=options.backend_names(backends),
        peers=options.peer_names(peers),
        repeat=repeat,
        copies=copies,
        quick=quick,
        seed=seed,
        device=device,
        loss=plot is not None,
    )
    check_files(json=json)
    check_folder(plot)
    with progress() as advance:
        found = run(settings, advance)
    write_json(json, finite(found))
    console = Console(highlight=False, markup=False)
    show(console, found)
    show_files(console, numbers=json)
    if plot is not None:
        from gpuopt.bench.charts import draw

        for path, why in draw(found, plot):
            console.print(f"chart: {path}" if not why else f"no {path.name}: {why}", soft_wrap=True)
    for failure in found["failures"]:
        print(f"FAILED: {failure['case']}: {failure['error']}", file=sys.stderr)
    if found.get("interrupted"):
        raise Exit(130)
    failed = any("peer" not in failure for failure in found["failures"])
    raise Exit(1 if failed or not found["rows"] else 0)


def show(console: Any, found: dict[str, Any]) -> None:
    """Print the tables and what they do not say."""
    from gpuopt.bench import report
    from gpuopt.bench.remarks import remarks

    for title, tables in report.tables(found["rows"], console.width):
        console.print(title, style="bold")
        for table in tables:
            console.print(table)
            console.print()
    if found["rows"]:
        console.print(report.EXPLANATION, style="dim")
    for line in remarks(found):
        console.print(line, soft_wrap=True)


def check_folder(path: Path | None) -> None:
    """Raise unless charts can be written to the folder of `--plot`, which may be a new one."""
    if path is None:
        return
    need_matplotlib("leave out --plot")
    if path.exists() and not path.is_dir():
        raise InputError(f"--plot {path} is a file; give the name of a folder")
    parent = path if path.exists() else path.parent
    if not parent.is_dir():
        raise InputError(f"--plot {path}: there is no folder {parent}; make it first")
    check_files(plot=parent / "throughput.png")
