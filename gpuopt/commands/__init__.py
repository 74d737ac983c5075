"""The command line, one file a command. Commands import what they need when they run."""

import typer

from gpuopt.commands import bench
from gpuopt.commands.average import average
from gpuopt.commands.fit import fit
from gpuopt.commands.info import info
from gpuopt.commands.selftest import selftest
from gpuopt.commands.surfaces import surfaces
from gpuopt.commands.train import train

app = typer.Typer(
    name="gpuopt",
    help="The optimizer step of training as one fused pass over memory and one kernel launch.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, fit, average, surfaces, info, selftest):
    app.command()(command)
app.add_typer(bench.app, name="bench")


def show_version(wanted: bool) -> None:
    if wanted:
        from gpuopt import __version__

        print(f"gpuopt {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass
