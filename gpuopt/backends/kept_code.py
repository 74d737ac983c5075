"""Numba's compiled functions in files of ours: whatever fails on the way is as if none were there.

Numba's own cache raises where a file is empty, cut off or cannot be written, and loads machine code
with flipped bits.
"""

import hashlib
import pickle
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps

from gpuopt.backends.cache import read, write

VERSIONS = numba.__version__, llvmlite.__version__, sys.version


def keep(function: Any, folder: Path) -> None:
    """Keep in `folder` what is compiled of a function of Numba's, and take it from there."""
    if isinstance(function, CPUDispatcher):  # else Numba is set to compile nothing
        name = f"{function.py_func.__module__}.{function.py_func.__name__}"
        function._cache = KeptCode(folder / name)  # pyright: ignore[reportAttributeAccessIssue]


class KeptCode(NullCache):
    """Numba asks it before it compiles a function, and tells it what it has compiled."""

    def __init__(self, path: Path) -> None:
        """path: how the names of the function's files begin."""
        self.path = path

    def file(self, sig: Any, codegen: Any) -> Path:
        """The file for types of arguments and a processor."""
        key = repr((sig, codegen.magic_tuple(), VERSIONS))
        return Path(f"{self.path}.{hashlib.sha256(key.encode()).hexdigest()[:16]}.nbc")

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        target_context.refresh()
        code = read(self.file(sig, target_context.codegen()))
        if code is None:
            return None
        try:
            return CompileResult._rebuild(target_context, *pickle.loads(code))
        except Exception:
            return None

    def save_overload(self, sig: Any, cres: CompileResult) -> None:
        if not cres.library.has_dynamic_globals and not cres.lifted:
            with suppress(Exception):
                write(self.file(sig, cres.codegen), dumps(cres._reduce()))
