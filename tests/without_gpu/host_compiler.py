"""Compiling CUDA source with the host's C++ compiler, behind shim.h, and calling it by ctypes."""

import ctypes
import functools
import hashlib
import subprocess
import tempfile
from pathlib import Path

SHIM = Path(__file__).with_name("shim.h")
# No contraction: the same bits on every machine. No fortified longjmp: fibers.h jumps up and down.
FLAGS = ("-std=c++17", "-O1", "-fPIC", "-ffp-contract=off", "-Wno-unknown-pragmas")
FLAGS += ("-U_FORTIFY_SOURCE", "-fno-gnu-unique")  # shared memory is of one library, too
CHECKS = ("-fsanitize=alignment",)  # shim.h takes what it finds, so that no library is linked


class CompileError(RuntimeError):
    """The compiler's messages."""


class MisalignedAddress(RuntimeError):
    """A kernel reached for an address that is not aligned for it: a GPU would have faulted."""


class DivergentBarrier(RuntimeError):
    """Some threads of a block waited at a barrier that others of it did not reach."""


OUTCOMES = {1: MisalignedAddress, 2: DivergentBarrier}  # as in shim.h


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="gpuopt-shim-")


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise CompileError(done.stderr)


@functools.cache
def compiled(source: str, entry: str) -> ctypes.CDLL:
    """A library whose `shim_launch` runs the kernel `entry` of a CUDA source."""
    launch = (
        '\nextern "C" int shim_launch(unsigned grid, unsigned block, void **args, int backwards)\n'
        f"{{\n    return shim::launch({entry}, grid, block, args, backwards);\n}}\n"
    )
    name = hashlib.sha256((source + entry).encode()).hexdigest()[:20]
    path = Path(_folder().name) / f"{name}.cpp"
    path.write_text(source + launch)
    object_file, library = path.with_suffix(".o"), path.with_suffix(".so")
    flags = [*FLAGS, *CHECKS]
    if "__syncthreads" in source:  # not always: it makes launches slower
        flags.append("-DSHIM_BARRIERS")
    run("g++", *flags, "-include", str(SHIM), "-c", "-o", str(object_file), str(path))
    run("g++", "-shared", "-o", str(library), str(object_file))
    return ctypes.CDLL(str(library))


def launch(
    library: ctypes.CDLL,
    grid: int,
    block: int,
    args: list[ctypes._SimpleCData],
    backwards: bool = False,
) -> None:
    """Run all threads of all blocks, from the first one or `backwards`, from the last."""
    addresses = (ctypes.c_void_p * len(args))(*(ctypes.addressof(a) for a in args))
    sizes = ctypes.c_uint(grid), ctypes.c_uint(block)
    outcome = library.shim_launch(*sizes, addresses, ctypes.c_int(backwards))
    if outcome:
        error = OUTCOMES[outcome]
        raise error(error.__doc__)
