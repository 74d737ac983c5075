"""Compiling CUDA source with the host's C++ compiler, behind shim.h, and calling it by ctypes."""

import ctypes
import functools
import hashlib
import subprocess
import tempfile
from pathlib import Path

SHIM = Path(__file__).with_name("shim.h")
# No contraction: the same bits on every machine.
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-ffp-contract=off", "-Wno-unknown-pragmas")
CHECKS = ("-fsanitize=alignment",)  # shim.h counts what it finds, so that no library is linked


class CompileError(RuntimeError):
    """The compiler's messages."""


class MisalignedAddress(RuntimeError):
    """A kernel reached for several elements at once where a GPU would have faulted."""


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gpuopt-shim-")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CompileError(done.stderr)


@functools.cache
def compiled(source: str, entry: str) -> ctypes.CDLL:
    """A library whose `launch(grid, block, args)` runs the kernel `entry` of a CUDA source."""
    launch = (
        f'\nextern "C" long long shim_launch(unsigned grid, unsigned block, void **args)\n'
        f"{{\n    return shim::launch({entry}, grid, block, args);\n}}\n"
    )
    name = hashlib.sha256((source + entry).encode()).hexdigest()[:20]
    path = Path(_folder().name) / f"{name}.cpp"
    path.write_text(source + launch)
    object_file, library = path.with_suffix(".o"), path.with_suffix(".so")
    run("g++", *FLAGS, *CHECKS, "-include", str(SHIM), "-c", "-o", str(object_file), str(path))
    run("g++", "-shared", "-o", str(library), str(object_file))
    return ctypes.CDLL(str(library))


def launch(library: ctypes.CDLL, grid: int, block: int, args: list[ctypes._SimpleCData]) -> None:
    """Run all threads of all blocks."""
    addresses = (ctypes.c_void_p * len(args))(*(ctypes.addressof(a) for a in args))
    library.shim_launch.restype = ctypes.c_longlong
    count = library.shim_launch(ctypes.c_uint(grid), ctypes.c_uint(block), addresses)
    if count:
        raise MisalignedAddress(f"{count} accesses to addresses that are not aligned for them")
