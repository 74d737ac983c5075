"""PyTorch's allocations, one by one: on the CPU as its profiler tells of them, on a GPU as the
history of its caching allocator does.

Both tell afterwards. What a recorder learns meanwhile is put in its place by marks: on the CPU an
event of the profiler, on a GPU the length of the history.
"""

import functools
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from gpuopt.memory.events import LIBRARIES, NETWORKS, Recorder, words

MARK = "gpuopt mark "
Change = Callable[[], None]


@contextmanager
def torch_cpu_trace(recorder: Recorder) -> Iterator[None]:
    """Tell `recorder` of every allocation and free in PyTorch's CPU allocator, whatever the
    thread: tensors, and the scratch memory that oneDNN asks it for. Not of NumPy's arrays, whose
    handler cannot mark its place among these."""
    profiler = importlib.import_module("torch.autograd.profiler")
    changes: list[Change] = []

    def later(change: Change) -> None:
        with profiler.record_function(f"{MARK}{len(changes)}"):
            changes.append(change)

    recorder.later = later
    try:
        with profiler.profile(profile_memory=True) as profile:
            yield
    finally:
        recorder.later = None
    for event in in_order(profile.kineto_results.experimental_event_tree()):
        if event.name.startswith(MARK):
            changes[int(event.name.removeprefix(MARK))]()
        elif event.name == "[memory]" and event.extra_fields.device.type == "cpu":
            size, address = event.extra_fields.alloc_size, event.extra_fields.ptr
            if size > 0:
                recorder.malloc(address, size, where_in_profile(event))
            else:
                recorder.free(address)


def in_order(roots: Iterable[Any]) -> list[Any]:
    """The events of a profile's trees by their time."""
    found, waiting = [], list(roots)
    while waiting:
        event = waiting.pop()
        waiting += event.children
        if event.name == "[memory]" or event.name.startswith(MARK):
            found.append(event)
    return sorted(found, key=lambda event: event.start_time_ns)


def where_in_profile(event: Any) -> str:
    """PyTorch's operation that made an allocation, and the one it is a part of: the profiler can
    tell lines of code only where no debugger and no coverage tool is at work."""
    names, event = list[str](), event.parent
    while event is not None:
        names.append(event.name.removeprefix("autograd::engine::evaluate_function: "))
        event = event.parent
    if not names:
        return "unknown"
    return names[0] if names[0] == names[-1] else f"{names[0]} of {names[-1]}"


@contextmanager
def torch_cuda_trace(recorder: Recorder) -> Iterator[None]:
    """Tell `recorder` of every allocation and free in the caching allocator of PyTorch's current
    device, in bytes asked for. Ends a history that was being recorded."""
    torch = importlib.import_module("torch")
    memory, device = torch.cuda.memory, torch.cuda.current_device()
    changes: list[tuple[int, Change]] = []

    def history() -> list[dict[str, Any]]:
        return memory._snapshot()["device_traces"][device]

    memory._record_memory_history(enabled="all", context="alloc", stacks="python")
    try:
        begin = len(history())
        recorder.later = lambda change: changes.append((len(history()), change))
        yield
        entries = history()
    finally:
        recorder.later = None
        memory._record_memory_history(enabled=None)
    changes.reverse()
    for k, entry in enumerate(entries[begin:], begin):
        while changes and changes[-1][0] <= k:
            changes.pop()[1]()
        if entry["action"] == "alloc":
            recorder.malloc(entry["addr"], entry["size"], where_in_history(entry))
        elif entry["action"] == "free_completed":
            recorder.free(entry["addr"])
    for _, change in reversed(changes):
        change()


def where_in_history(entry: dict[str, Any]) -> str:
    """The user's line in which an allocation was made; none in a backward pass, which PyTorch runs
    in a thread of its own."""
    for frame in entry.get("frames", ()):  # the innermost first
        if not of_library(frame["filename"]):
            return words(frame["filename"], frame["line"], frame["name"])
    return "the backward pass"


@functools.cache
def of_library(file: str) -> bool:
    """Whether a file is one whose lines are of no interest."""
    path = PurePath(file)
    for name in LIBRARIES:
        home = getattr(sys.modules.get(name), "__file__", None)
        if home and path.is_relative_to(PurePath(home).parent):
            return NETWORKS.replace(".", "/") not in path.as_posix()
    return False
