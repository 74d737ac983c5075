"""Files that are replaced whole: whoever is killed while writing leaves the old one."""

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gpuopt.errors import shortened

if os.name == "posix":
    import fcntl

LEFTOVER_AGE = 60.0  # seconds: a younger folder may be one that is about to be locked
SUFFIX = ".tmp"
LONGEST_NAME = 200  # bytes of a file's name that are repeated in its folder's; 255 is common


@contextmanager
def replacing(path: Any) -> Iterator[Path]:
    """`with replacing(path) as new:` write the file `new`, and it takes the place of `path`.

    Whatever stops it, the old file is there or the new one, whole: the new one is written in a
    folder of its own beside it, flushed to the disk and renamed. It has the permissions of the old
    one. A symbolic link stays, and leads to the new file. Of several writers, in threads, processes
    or a signal handler, the last one stays. What killed ones left is removed by the next that
    writes the same file, a minute later (not on Windows, nor on file systems without locks).

    Raises OSError, naming `path`, for a file that cannot be written.
    """
    path = os.fsdecode(path)
    target = Path(os.path.realpath(path))
    folder = target.with_name(f"{prefix(target)}{secrets.token_hex(8)}{SUFFIX}")
    try:
        try:
            require_file_or_nothing(target)
            remove_leftovers(target)
            folder.mkdir(0o700)
            with locked(folder):
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
        finally:
            remove(folder)
    except OSError as error:
        why = shortened(error.strerror or str(error))
        shown = shortened(path, 100)
        raise OSError(error.errno, f"cannot be written: {why}", shown) from None
    except BaseException:
        remove(folder)  # again, for an interrupt may have come before the first time or amid it
        raise


def require_file_or_nothing(target: Path) -> None:
    """Raise OSError for what no file can take the place of."""
    if not target.parent.is_dir():
        parent = shortened(str(target.parent), 100)
        raise OSError(errno.ENOENT, f"there is no folder {parent}; make it first")
    if target.exists() and not target.is_file():
        raise OSError(
            errno.EINVAL, "this is no file, so none can take its place; give the name of a file"
        )


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def prefix(target: Path) -> str:
    """How the names begin of folders in which `target` is written."""
    name = target.name
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return f".{name}.gpuopt-"


def remove_leftovers(target: Path) -> None:
    """Remove folders that no running process, of any machine or container, has locked."""
    name = re.compile(re.escape(prefix(target)) + r"\w{8,}" + re.escape(SUFFIX))
    with suppress(OSError):  # a folder may allow writing, but no listing
        for folder in filter(lambda x: name.fullmatch(x.name), target.parent.iterdir()):
            with suppress(OSError):  # of another user, or just removed by another process
                if time.time() - folder.stat().st_mtime >= LEFTOVER_AGE:
                    with locked(folder) as left:
                        pass
                    if left:
                        remove(folder)


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which ends with the process, however that ends. False if another
    holds it, or there are no locks here.

    It is a file's, for network file systems lock no folders.
    """
    if os.name != "posix":
        yield False
        return
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        except OSError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def flush(path: Path, flags: int) -> None:
    """Wait until a file, or a folder's names, are on the disk."""
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
