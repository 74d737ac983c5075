"""Printed source on disk, named by its content, so that compiled code can be kept beside it."""

import hashlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from types import ModuleType


def cache_dir() -> Path:
    """Where printed and compiled code is kept: $GPUOPT_CACHE_DIR, else the user's cache folder."""
    if "GPUOPT_CACHE_DIR" in os.environ:
        return Path(os.environ["GPUOPT_CACHE_DIR"])
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gpuopt"


def import_source(name: str, source: str) -> ModuleType:
    """Import `source` from a file in the cache whose name holds a hash of its text.

    A file that is there already is used as it is: Numba keys what it compiled by the file's time.
    Where the cache cannot be written, a temporary folder serves for the life of the process.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()[:20]
    module_name = f"gpuopt_{name}_{digest}"
    try:
        path = _write_once(cache_dir(), f"{module_name}.py", source)
    except OSError:
        path = _write_once(_temporary_dir(), f"{module_name}.py", source)
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # Numba finds it by name when it loads what it compiled
    spec.loader.exec_module(module)
    return module


def _write_once(folder: Path, name: str, source: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / name
    if not path.exists() or path.read_text() != source:
        handle, unfinished = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "w") as file:
            file.write(source)
        os.replace(unfinished, path)
    return path


_temporary: list[tempfile.TemporaryDirectory[str]] = []


def _temporary_dir() -> Path:
    if not _temporary:
        _temporary.append(tempfile.TemporaryDirectory(prefix="gpuopt-"))
    return Path(_temporary[0].name)
