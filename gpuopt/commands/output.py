"""Files that commands write: checked before the work, written after it."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from gpuopt import pictures
from gpuopt.errors import InputError
from gpuopt.pictures import need_matplotlib
from gpuopt.replacing import replacing

SUFFIXES = {"plot": pictures.SUFFIXES, "animate": (".gif",)}


def check_writable(option: str, path: Path | None, suffixes: tuple[str, ...] = ()) -> None:
    """Raise unless a file can be written at `path`; leaves nothing behind. None passes."""
    if path is None:
        return
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"{option} {path}: the name must end in {', '.join(suffixes)}")
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: there is no folder {path.parent}; make it first")
    try:
        if path.exists():
            with open(path, "ab"):  # appends nothing
                pass
        else:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    except OSError as error:
        raise InputError(f"{option} {path} cannot be written: {error.strerror or error}") from None


def check_files(read: Path | None = None, **files: Path | None) -> None:
    """Raise unless the files of the options --plot, --animate and so on can be written, each
    another one and none of them the file to `read`, and pictures can be drawn. None is an option
    that was not given."""
    taken = {} if read is None else {read.resolve(): "the data"}
    for name, path in files.items():
        option = f"--{name}"
        check_writable(option, path, SUFFIXES.get(name, ()))
        if path is not None:
            before = taken.setdefault(path.resolve(), option)
            if before != option:
                raise InputError(f"{before} and {option} are the same file, {path}; give two names")
    if any(files[name] for name in SUFFIXES if name in files):
        need_matplotlib("give --no-plot" + " and no --animate" * ("animate" in files))


def show_files(console: Any, **files: Path | None) -> None:
    """Say which files were written, by what is in them."""
    for what, path in files.items():
        if path is not None:
            console.print(f"{what}: {path}", soft_wrap=True)


@contextmanager
def written(option: str, path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` in the end: the file is whole or not there."""
    special = path.exists() and (
        not path.is_file() or path.is_relative_to("/dev")
    )  # /dev/stdout, a pipe
    try:
        with nullcontext(path) if special else replacing(path) as target:
            yield target
    except OSError as error:
        why = str(error.strerror or error).removeprefix("cannot be written: ")
        raise InputError(f"{option} {path} cannot be written: {why}") from None


def write_json(path: Path | None, content: dict[str, Any]) -> None:
    """Write `content` to the file of `--json`; None writes nothing."""
    if path is not None:
        with written("--json", path) as target:
            target.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
