"""The entry point of the command line: runs a command and turns errors into one line."""

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, cast

from gpuopt.errors import InputError

NEEDED = ("typer", "click", "rich")
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command in `argv` (None: the program's arguments). The exit code.

    0: done. 1: a check failed. 2: what was given cannot be used; one line on stderr says why.
    130: interrupted. Other exceptions are bugs, and pass through.
    """
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        code = run(arguments)
    except InputError as error:
        return fail(str(error))
    except BrokenPipeError:  # the reader of our output has gone: gpuopt info | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        return fail(f'the command line needs {error.name}: pip install "gpuopt[cli]"')
    if code == INTERRUPTED:
        print("gpuopt: interrupted", file=sys.stderr)
    return code


def run(arguments: list[str]) -> int:
    import typer

    from gpuopt.commands import app

    # click's, or that of the copy in newer typers
    usage_error = cast(type[Exception], typer.BadParameter.__mro__[2])
    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            return app(arguments, prog_name="gpuopt", standalone_mode=False) or 0
        except usage_error as error:
            message = getattr(error, "format_message", error.__str__)().rstrip(".")
            raise InputError(f"{message}; see gpuopt --help") from error
        except typer.Abort:
            return INTERRUPTED


def fail(message: str) -> int:
    print(f"gpuopt: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"gpuopt: warning: {message}", file=sys.stderr)
