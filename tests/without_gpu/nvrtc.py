"""NVIDIA's run-time compiler by ctypes: compiles for any GPU, and needs neither GPU nor driver."""

import ctypes
import functools
import importlib.util
import re
from pathlib import Path
from typing import Any, NamedTuple


class Compiled(NamedTuple):
    ptx: str
    log: str

    @property
    def registers(self) -> int:
        """Registers a thread, by ptxas' report."""
        found = re.search(r"Used (\d+) registers", self.log)
        assert found, self.log
        return int(found.group(1))

    @property
    def spilled(self) -> int:
        """Bytes of registers that a thread puts away in memory and reads back."""
        found = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", self.log)
        assert found, self.log
        return sum(map(int, found.groups()))


class CompileError(RuntimeError):
    """The compiler's messages."""


@functools.cache
def library() -> ctypes.CDLL | None:
    """libnvrtc from the nvidia-cuda-nvrtc wheel, or None."""
    try:
        spec = importlib.util.find_spec("nvidia.cuda_nvrtc")
    except ModuleNotFoundError:
        return None
    folders = list(spec.submodule_search_locations or []) if spec else []
    for path in sorted(x for folder in folders for x in Path(folder).glob("lib/libnvrtc.so.*")):
        if path.name.count(".") == 2:  # libnvrtc.so.12, and none of its helpers
            return ctypes.CDLL(str(path))
    return None


@functools.cache
def gpus() -> frozenset[str]:
    """The GPUs that this NVRTC compiles for, such as "sm_90"."""
    nvrtc, count = library(), ctypes.c_int()
    if nvrtc is None:
        return frozenset()
    check(nvrtc.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
    numbers = (ctypes.c_int * count.value)()
    check(nvrtc.nvrtcGetSupportedArchs(numbers))
    return frozenset(f"sm_{number}" for number in numbers)


@functools.cache
def compile_for(arch: str, source: str) -> Compiled:
    """PTX and ptxas' report for a GPU such as "sm_90". Raises CompileError with the log."""
    nvrtc = library()
    assert nvrtc is not None
    program = ctypes.c_void_p()
    name = b"gpuopt.cu"
    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), name, 0, None, None))
    try:
        options = [f"--gpu-architecture={arch}".encode(), b"--std=c++17", b"--ptxas-options=-v"]
        given = (ctypes.c_char_p * len(options))(*options)
        status = nvrtc.nvrtcCompileProgram(program, len(options), given)
        log = text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
        if status:
            raise CompileError(log)
        return Compiled(text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program), log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def text(size_of: Any, get: Any, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    check(size_of(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    check(get(program, buffer))
    return buffer.value.decode()


def check(status: int) -> None:
    if status:
        raise RuntimeError(f"nvrtc answered {status}")
