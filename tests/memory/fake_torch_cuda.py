"""A stand-in for PyTorch's CUDA memory: its functions, around a model of its allocator.

`Tensor` is nothing but memory on the device.
"""

import contextlib
import sys

from gpuopt.memory.pool import PoolFull
from gpuopt.memory.pool_torch import TorchPool

TOTAL, OTHERS = 2**30, 2**27  # bytes of the device, and of those what others have taken

REPLACED = (
    "mem_get_info",
    "memory_reserved",
    "max_memory_reserved",
    "empty_cache",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
    "get_per_process_memory_fraction",
)


class Device:
    """Replaces the functions of torch.cuda that the memory-fit check calls."""

    def __init__(self, torch, patch):
        self.torch, self.pool, self.others = torch, TorchPool(TOTAL - OTHERS), OTHERS
        self.fraction, self.next, self.entries, self.recording = 1.0, 4096, [], False
        for name in REPLACED:
            patch.setattr(torch.cuda, name, getattr(self, name), raising=False)
        patch.setattr(torch.cuda.memory, "_record_memory_history", self.record)
        patch.setattr(torch.cuda.memory, "_snapshot", self.snapshot)
        patch.setattr(torch.cuda, "get_allocator_backend", lambda: "native")
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        patch.setattr(torch.cuda, "init", lambda: None)
        patch.setattr(torch.cuda, "default_generators", ())

    def mem_get_info(self):
        return TOTAL - self.others - self.pool.total, TOTAL

    def memory_reserved(self):
        return self.pool.total

    def max_memory_reserved(self):
        return self.pool.peak_total

    def empty_cache(self):
        self.pool.free_all_blocks()

    def reset_peak_memory_stats(self):
        self.pool.peak_total = self.pool.total

    def get_per_process_memory_fraction(self):
        return self.fraction

    def set_per_process_memory_fraction(self, fraction):
        self.fraction = fraction
        self.pool.limit = min(int(fraction * TOTAL), TOTAL - self.others)

    def record(self, enabled="all", context="all", stacks="all"):
        self.recording = enabled is not None
        self.entries = self.entries if enabled else []

    def snapshot(self):
        self.entries.append({"action": "snapshot", "addr": 0, "size": self.pool.used})
        return {"device_traces": [list(self.entries)]}

    def malloc(self, size):
        try:
            block = self.pool.malloc(size)
        except PoolFull as error:
            message = f"CUDA out of memory. Tried to allocate {size} bytes"
            raise self.torch.cuda.OutOfMemoryError(message) from error
        self.next += 2**40
        frames = []
        frame = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            about = {"filename": code.co_filename, "line": frame.f_lineno, "name": code.co_name}
            frames.append(about)
            frame = frame.f_back
        self.note("alloc", self.next, size, [f for f in frames if f["filename"] != __file__])
        return block, self.next

    def free(self, block, address, size):
        self.pool.free(block)
        for action in ("free_requested", "free_completed"):
            self.note(action, address, size, [])

    def note(self, action, address, size, frames):
        if self.recording:
            entry = {"action": action, "addr": address, "size": size, "frames": frames}
            self.entries.append(entry)


class Tensor:
    """So many bytes of a device."""

    def __init__(self, device, size):
        self.device, self.size = device, size
        self.block, self.address = device.malloc(size)

    def data_ptr(self):
        return self.address

    def untyped_storage(self):
        raise AssertionError("only an address is asked for")

    def __del__(self):
        with contextlib.suppress(AttributeError):  # there was no room for it
            self.device.free(self.block, self.address, self.size)
