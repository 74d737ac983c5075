"""NumPy's allocations, one by one, through its memory handler (NEP 49).

The handler is a C structure of four functions. It calls NumPy's own functions and tells a recorder;
when a trace ends, NumPy's own are written into it, for arrays that outlive the trace keep it.
Allocations of other libraries (Numba's, torch's, the BLAS' buffers) do not pass here.
"""

import ctypes
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gpuopt.memory.events import Recorder

try:
    from numpy._core import _multiarray_umath as umath  # pyright: ignore
except ImportError:  # NumPy 1
    from numpy.core import _multiarray_umath as umath  # pyright: ignore

SCALAR = 64  # bytes
SET_HANDLER, GET_HANDLER = 304, 305  # places in NumPy's table of C functions, fixed by its ABI
P, N = ctypes.c_void_p, ctypes.c_size_t
Malloc = ctypes.CFUNCTYPE(P, P, N)
Calloc = ctypes.CFUNCTYPE(P, P, N, N)
Realloc = ctypes.CFUNCTYPE(P, P, P, N)
Free = ctypes.CFUNCTYPE(None, P, P, N)


class Handler(ctypes.Structure):
    """PyDataMem_Handler of numpy/ndarraytypes.h."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("ctx", P),
        ("malloc", Malloc),
        ("calloc", Calloc),
        ("realloc", Realloc),
        ("free", Free),
    )


class Called(ctypes.Structure):
    """The same, to be called by us: NumPy's own allocate with the GIL held, and its calloc lets go
    of it in between. Its free runs while an exception is on its way, which a call that holds the
    GIL would take for its own."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("ctx", P),
        ("malloc", ctypes.PYFUNCTYPE(P, P, N)),
        ("calloc", ctypes.PYFUNCTYPE(P, P, N, N)),
        ("realloc", ctypes.PYFUNCTYPE(P, P, P, N)),
        ("free", Free),
    )


FUNCTIONS = ("ctx", "malloc", "calloc", "realloc", "free")


@contextmanager
def numpy_trace(recorder: Recorder) -> Iterator[None]:
    """Tell `recorder` of every array that this thread allocates in NumPy, and when it is freed; but
    not of what comes and goes with every Python number."""
    set_handler, get_handler = api()
    before = get_handler()
    theirs = Handler.from_address(pointer(before, b"mem_handler"))
    ours, capsule = handler_for(ctypes.addressof(theirs))
    called = Called.from_address(ctypes.addressof(theirs))
    functions = telling(called, recorder)  # kept alive until NumPy's own are back
    ours.malloc, ours.calloc, ours.realloc, ours.free = functions
    set_handler(capsule)
    try:
        yield
    finally:
        set_handler(before)
        for name in FUNCTIONS:
            setattr(ours, name, getattr(theirs, name))


def telling(theirs: Called, recorder: Recorder) -> tuple[Any, ...]:
    """The four functions: `theirs`, and a word to the recorder."""

    def malloc(ctx, size):
        address = theirs.malloc(ctx, size)
        if address and size >= SCALAR:
            recorder.malloc(address, size)
        return address

    def calloc(ctx, count, size):
        address = theirs.calloc(ctx, count, size)
        if address and count * size >= SCALAR:
            recorder.malloc(address, count * size)
        return address

    def realloc(ctx, old, size):
        address = theirs.realloc(ctx, old, size)
        if address:
            recorder.free(old)
            if size >= SCALAR:
                recorder.malloc(address, size)
        return address

    def free(ctx, address, size):
        recorder.free(address)
        theirs.free(ctx, address, size)

    return Malloc(malloc), Calloc(calloc), Realloc(realloc), Free(free)


@functools.cache
def api() -> tuple[Any, Any]:
    """NumPy's C functions to set and to get the handler."""
    table = ctypes.cast(pointer(umath._ARRAY_API, None), ctypes.POINTER(P))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[SET_HANDLER])
    return set_handler, ctypes.PYFUNCTYPE(ctypes.py_object)(table[GET_HANDLER])


@functools.cache
def handler_for(theirs: int) -> tuple[Handler, Any]:
    """A handler beside the one at address `theirs`, and its capsule. Both live for ever."""
    ours = Handler.from_buffer_copy(Handler.from_address(theirs))
    ours.name = b"gpuopt_trace"
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (P, ctypes.c_char_p, P)
    return ours, new(ctypes.addressof(ours), b"mem_handler", None)


def pointer(capsule: Any, name: bytes | None) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = P, (ctypes.py_object, ctypes.c_char_p)
    return get(capsule, name)
