"""Files that are replaced whole: whoever is killed while writing leaves the old one."""

import os
import platform
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ONE_AT_A_TIME = threading.Lock()  # for the folder is named after the process


@contextmanager
def replacing(path: Any) -> Iterator[Path]:
    """`with replacing(path) as new:` write the file `new`, and it takes the place of `path`.

    Whatever stops it, the old file is there or the new one, whole: the new one is written in a
    folder beside it, flushed to the disk and renamed. It has the permissions of the old one. A
    symbolic link stays, and leads to the new file. What killed processes of this machine left is
    removed by the next that writes the same file.

    Raises OSError, naming `path`, for a file that cannot be written.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent}; make it first")
    if target.exists() and not target.is_file():
        raise OSError(f"{path} is no file, so none can take its place; give the name of a file")
    folder = target.parent / f"{prefix(target)}{os.getpid()}{SUFFIX}"
    with ONE_AT_A_TIME:
        try:
            remove_leftovers(target)
            folder.mkdir()
            new = folder / "new"
            new.touch()
            permissions = (target if target.exists() else new).stat().st_mode
            yield new
            new.chmod(permissions)
            flush(new, os.O_RDWR)
            os.replace(new, target)
            if os.name == "posix":
                with suppress(OSError):  # some network file systems cannot
                    flush(target.parent, os.O_RDONLY)
        except OSError as error:
            why = error.strerror or str(error)
            raise OSError(error.errno, f"cannot be written: {why}", str(path)) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


SUFFIX = ".tmp"


def prefix(target: Path) -> str:
    """How the names begin of folders in which this machine's processes write `target`."""
    return f".{target.name}.{platform.node()}."


def remove_leftovers(target: Path) -> None:
    start = prefix(target)
    for path in target.parent.iterdir():
        if path.name.startswith(start) and path.name.endswith(SUFFIX):
            process = path.name[len(start) : -len(SUFFIX)]
            if process.isdecimal() and is_gone(int(process)):
                shutil.rmtree(path, ignore_errors=True)


def is_gone(process: int) -> bool:
    """Whether no such process runs, other than this one, which has begun nothing yet."""
    if process == os.getpid():
        return True
    if os.name != "posix":  # there, os.kill would end it
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def flush(path: Path, flags: int) -> None:
    """Wait until a file, or a folder's names, are on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
