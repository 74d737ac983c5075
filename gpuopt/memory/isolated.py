"""Running a function in a child process that is a copy of this one: it changes nothing here."""

import ctypes
import gc
import os
import pickle
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpuopt.backends.forks import one_thread
from gpuopt.errors import add_note, notes
from gpuopt.memory.limits import numbers

PATIENCE = 600  # seconds
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
MOST_BYTES = 2**62  # that a limit can hold in a signed number of the system


class ChildDied(RuntimeError):
    """The child process ended without an answer."""


def possible() -> bool:
    """Whether a process can be copied here."""
    return hasattr(os, "fork") and sys.platform != "darwin"  # where its libraries do not bear it


def isolated(function: Callable[[], Any]) -> Any:
    """What `function()` returns in a copy of this process, or raises there.

    Raises ChildDied if the copy is killed, or gives no answer within `PATIENCE`.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forks beside threads: Python's, and JAX's own
        child = os.fork()
    if child == 0:
        os.close(reading)
        in_child(function, writing)
    os.close(writing)
    try:
        answer = read(reading)
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)  # it has answered, or never will
        _, status = os.waitpid(child, 0)
    if not answer:
        why = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "ended"
        raise ChildDied(f"the child process that tried the step was {why}")
    result, trace = pickle.loads(answer)
    if trace is None:
        return result
    raise result from RuntimeError(f"raised in the child process that tried the step:\n\n{trace}")


def read(pipe: int) -> bytes:
    parts = []
    while True:
        if not select.select([pipe], [], [], PATIENCE)[0]:
            raise ChildDied(f"the child process that tried the step gave no answer in {PATIENCE} s")
        part = os.read(pipe, 2**20)
        if not part:
            return b"".join(parts)
        parts.append(part)


def in_child(function: Callable[[], Any], pipe: int) -> None:
    """Answer through the pipe, and end, together with the parent if that is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        try:
            gc.freeze()  # collections look at what is new only
            one_thread()
            answer = pickle.dumps((function(), None))
        except BaseException as error:
            answer = dumped(error)
        sys.stdout.flush()
        with os.fdopen(pipe, "wb") as file:
            file.write(answer)
    finally:
        os._exit(0)


def dumped(error: BaseException) -> bytes:
    """An error and its traceback for the parent; a RuntimeError with its words where its class
    cannot be found again."""
    trace = traceback.format_exc()
    other = RuntimeError(f"{type(error).__name__}: {error}")
    for note in notes(error):
        add_note(other, note)
    for sent in (error, InParts(error)):
        try:
            answer = pickle.dumps((sent, trace))
            if type(pickle.loads(answer)[0]) is type(error):
                return answer
        except Exception:  # what a class does when it is pickled is its own
            continue
    return pickle.dumps((other, trace))


class InParts:
    """Pickles as an error whose class has an `__init__` of its own, which is not called again."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        return put_together, (type(self.error), self.error.args, vars(self.error))


def put_together(kind: type[BaseException], args: tuple[Any, ...], more: Any) -> BaseException:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(more)
    return error


def limit_memory(more: int) -> None:
    """Let this process take so many more bytes; beyond them allocations raise MemoryError."""
    import resource

    if hasattr(ctypes.pythonapi, "malloc_trim"):  # glibc: what is free here goes back first
        ctypes.pythonapi.malloc_trim(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = min(in_use("VmData") + more, MOST_BYTES)
    if soft != resource.RLIM_INFINITY:
        wanted = min(wanted, soft)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))


def in_use(kind: str) -> int:
    """Bytes of this process, as Linux counts them: "VmData" against RLIMIT_DATA, "RssAnon" those
    that are really there; 0 where the system does not tell."""
    return numbers(Path("/proc/self/status")).get(kind, 0)
