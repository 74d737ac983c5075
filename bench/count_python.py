"""What one call does in Python: bytecodes, calls of C functions, bytes allocated. Exact counts."""

import contextlib
import gc
import os
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WARM, STEPS = 5, 5  # steps that are not counted, and of which the least is taken
OTHERS, PEAK = "bytecodes in others' files", "bytes at the peak"
Step = Callable[[], object]


def host(step: Step) -> dict[str, float]:
    """Bytecodes and calls of a steady step."""
    for _ in range(WARM):
        step()
    with quiet():
        ours, others = bytecodes(step)
        calls = calls_of_c(step)
    return {
        "bytecodes in gpuopt": ours,
        OTHERS: others,
        "calls of C functions": calls,
        PEAK: peak(step),
    }


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No garbage collection, whose finalisers would be counted."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def is_ours(frame: FrameType) -> bool:
    """Of the library, or of what it prints."""
    name = frame.f_code.co_filename
    printed = os.path.basename(name).lstrip("<").startswith("gpuopt_")
    return printed or name.startswith(f"{ROOT}{os.sep}gpuopt{os.sep}")


def bytecodes(step: Step) -> tuple[int, int]:
    found = Counter[bool]()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        mine = is_ours(frame)

        def local(frame: FrameType, event: str, argument: Any) -> Any:
            found[mine] += event == "opcode"
            return local

        return local if frame.f_code.co_filename != __file__ else None

    for _ in range(2):  # from Python 3.12 on, opcodes are told of only once a frame has asked
        found.clear()
        sys.settrace(trace)
        try:
            step()
        finally:
            sys.settrace(None)
    return found[True], found[False]


def calls_of_c(step: Step) -> int:
    """Calls of functions written in C, from the library's own files."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "c_call" and is_ours(frame)

    sys.setprofile(profile)
    try:
        step()
    finally:
        sys.setprofile(None)
    return count


def peak(step: Step) -> int:
    """Bytes that a steady step has allocated at its highest, of Python's and NumPy's memory.

    The least of several steps: threads that wake up in one allocate a few objects of their own.
    """
    found = []
    with quiet():
        tracemalloc.start()
        try:
            step()  # what it keeps for the next one is now known to tracemalloc
            for _ in range(STEPS):
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                step()
                found.append(tracemalloc.get_traced_memory()[1] - before)
        finally:
            tracemalloc.stop()
    return min(found)
