"""CuPy's allocations, one by one, through a hook on its memory pool."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

from gpuopt.memory.events import Recorder


@contextmanager
def cupy_trace(recorder: Recorder) -> Iterator[None]:
    """Tell `recorder` of every allocation and free of this thread in CuPy's pool, in bytes asked
    for. MemoryAsyncPool has no hooks."""
    memory = importlib.import_module("cupy").cuda

    class Hook(memory.MemoryHook):
        name = "gpuopt"

        def malloc_postprocess(self, *, size, mem_ptr, **_):
            if mem_ptr:
                recorder.malloc(mem_ptr, size)

        def free_postprocess(self, *, mem_ptr, **_):
            recorder.free(mem_ptr)

    with Hook():
        yield
