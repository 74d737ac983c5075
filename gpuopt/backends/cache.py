"""Printed source as modules, and their compiled code in files, from one process to the next.

What runs is the text in memory. Of what lies on the disk only compiled code is ever run, and only
if nobody else could have written it and it is whole; everything else is as if it were not there.
Where nothing can be kept, each process compiles for itself.
"""

import ast
import functools
import hashlib
import os
import stat
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from gpuopt.backends import level_outside
from gpuopt.backends.trust import distrust

LEFTOVER_AGE = 3600.0  # seconds: what is older, a killed process has left unfinished
DIGEST = hashlib.sha256().digest_size


def cache_dir() -> Path:
    """Where compiled code is kept: $GPUOPT_CACHE_DIR, else the user's cache folder.

    RuntimeError where the user has no home."""
    if os.environ.get("GPUOPT_CACHE_DIR"):
        return Path(os.environ["GPUOPT_CACHE_DIR"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gpuopt"


def temporary_dir() -> Path:
    """This user's folder among the temporary files. OSError where there are none."""
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
    return Path(tempfile.gettempdir()) / f"gpuopt{user}"


def usable_dir() -> Path | None:
    """The first of the two that can be trusted, and either be written to or has something in it.
    One that cannot be trusted is warned of, once."""
    for choose in (cache_dir, temporary_dir):
        with suppress(OSError, RuntimeError):
            chosen = choose()
            make_private(chosen)
            folder = Path(os.path.realpath(chosen))
            reason = distrust(folder)
            if reason is not None:
                warn_once(reason)
            elif os.access(folder, os.W_OK) or any(folder.iterdir()):
                return folder
    return None


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


@functools.cache
def warn_once(reason: str) -> None:
    warnings.warn(
        f"gpuopt does not use compiled code that another user could have written: {reason}. "
        "Take it over (chown, chmod go-w), or set GPUOPT_CACHE_DIR to a folder of your own",
        stacklevel=level_outside(),
    )


def read(path: Path) -> bytes | None:
    """What `write` has put into a file: None if there is none, or it is damaged, or another user
    could have written it, which is warned of once."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        reason = distrust(path)
        content = b"" if reason else path.read_bytes()
    except OSError:
        return None
    if reason is not None:
        warn_once(reason)
    found = content[DIGEST:]
    return found if content[:DIGEST] == digest(path, found) else None


def write(path: Path, content: bytes) -> None:
    """Write a file for `read`, whole or not at all. OSError if it cannot be written."""
    replace(path, digest(path, content) + content)


def digest(path: Path, content: bytes) -> bytes:
    """With the file's name, so that a file under another's name is as good as damaged."""
    return hashlib.sha256(path.name.encode() + b"\0" + content).digest()


def replace(path: Path, content: bytes) -> None:
    """Have a file hold `content`, whatever other processes do. OSError if it cannot."""
    for left in path.parent.glob("gpuopt_*.tmp"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > LEFTOVER_AGE:
                left.unlink()
    handle, name = tempfile.mkstemp(prefix="gpuopt_", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(name, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


def import_source(name: str, source: str) -> ModuleType:
    """A module of this text. What is compiled of its functions that are marked with `cache=True` is
    kept; here the mark is not Numba's, whose own cache trusts every file and wants all of them.

    The text is also written beside the code, for people and debuggers. Nothing reads it.
    """
    module_name = f"gpuopt_{name}_{hashlib.sha256(source.encode()).hexdigest()[:20]}"
    folder = usable_dir()
    file = f"<{module_name}>"
    if folder is not None:
        file = str(folder / f"{module_name}.py")
        with suppress(OSError):
            write_text(Path(file), source)
    tree = ast.parse(source, file)
    marked = take_marks(tree)
    module = ModuleType(module_name)
    module.__file__ = file
    sys.modules[module_name] = module  # Numba finds it by name when it loads what it compiled
    exec(compile(tree, file, "exec"), module.__dict__)
    if marked and folder is not None:
        from gpuopt.backends.kept_code import keep

        for function in marked:
            keep(getattr(module, function), folder)
    return module


def write_text(path: Path, source: str) -> None:
    if not path.is_file() or path.read_bytes() != source.encode():
        replace(path, source.encode())


def take_marks(tree: ast.Module) -> list[str]:
    """The names of functions with `cache=True` in a decorator, which is taken out."""
    marked = []
    for function in tree.body:
        for call in getattr(function, "decorator_list", ()):
            if isinstance(call, ast.Call) and any(x.arg == "cache" for x in call.keywords):
                call.keywords = [x for x in call.keywords if x.arg != "cache"]
                marked.append(function.name)  # pyright: ignore[reportAttributeAccessIssue]
    return marked
