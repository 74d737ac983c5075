"""Copies of mini-batches to a GPU through page-locked buffers, on a stream beside the caller's."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from gpuopt.backends.cupy_device import cupy
from gpuopt.backends.cupy_upload import page_locked

TURNS = 2  # page-locked buffers: one is filled while the copy from the other is under way
ALIGNMENT = 64  # bytes: where an array begins in a page-locked buffer


class Moving(NamedTuple):
    """A batch whose copy is under way: when it is done, and the stream whose memory it fills."""

    batch: Any
    copied: Any
    stream: Any


class Staging:
    """Page-locked buffers that take turns, and the stream that copies from them.

    CuPy's pool gives freed device memory out again to the stream on which it was allocated, at
    once, since the work of one stream is done in order. So a batch is allocated on the caller's
    stream, and is the caller's own for as long as it is kept. Between that stream and the copying
    one stand two events: a copy waits for all that was on the caller's stream when its memory was
    allocated, as that may still use the memory, and the caller's stream waits for the copy of a
    batch that is handed out.
    """

    def __init__(self, device: int) -> None:
        self.device = cupy.cuda.Device(device)
        with self.device:
            # blocking, it would wait for the null stream, on which the caller computes by default
            self.side = cupy.cuda.Stream(non_blocking=True)
            self.allocated = cupy.cuda.Event(disable_timing=True)
            self.buffers = [Buffer() for _ in range(TURNS)]
        self.turns = itertools.cycle(self.buffers)

    def start(self, arrays: Sequence[np.ndarray], like: Callable[[Sequence[Any]], Any]) -> Moving:
        """Stage arrays, on the host, and put their copies on the side stream.

        like: the batch's structure, made of its CuPy arrays.
        """
        buffer = next(self.turns)
        with self.device:
            staged = buffer.fill(arrays)
            targets = [cupy.empty(x.shape, x.dtype, order=order(x)) for x in staged]
            stream = cupy.cuda.get_current_stream()
            self.allocated.record(stream)
            self.side.wait_event(self.allocated)
            for target, x in zip(targets, staged, strict=True):
                target.data.copy_from_host_async(x.ctypes.data, x.nbytes, self.side)
            buffer.copied.record(self.side)
        return Moving(like(targets), buffer.copied, stream)

    def hand_out(self, moving: Moving) -> Any:
        """A batch that may be used on the current stream from here on."""
        with self.device:
            # both, since a batch that is freed goes back to the stream on which it was allocated
            for stream in (moving.stream, cupy.cuda.get_current_stream()):
                stream.wait_event(moving.copied)
        return moving.batch

    def stop(self) -> None:
        """Wait for the last copies, as a loop that is left early leaves one under way.

        Page-locked memory that is freed may be given out and written at once, and so may the memory
        of a batch that nobody took.
        """
        for buffer in self.buffers:
            buffer.copied.synchronize()


class Buffer:
    """Page-locked memory, and the event of the last copy from it."""

    def __init__(self) -> None:
        self.memory = np.empty(0, np.uint8)
        self.copied = cupy.cuda.Event(disable_timing=True)

    def fill(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The arrays in this buffer, which grows where it must. Waits for the last copy from it."""
        sizes = [-(-x.nbytes // ALIGNMENT) * ALIGNMENT for x in arrays]
        self.copied.synchronize()
        if sum(sizes) > self.memory.size:
            self.memory = page_locked(sum(sizes), np.dtype(np.uint8))
        starts = itertools.accumulate(sizes, initial=0)
        staged = [
            np.ndarray(x.shape, x.dtype, self.memory, start, order=order(x))
            for x, start in zip(arrays, starts, strict=False)
        ]
        for place, x in zip(staged, arrays, strict=True):
            place[...] = x
        return staged


def order(x: np.ndarray) -> Any:
    """The order in which `x` lies: a batch of columns, as `minibatches` cuts it, is Fortran's."""
    return "F" if x.flags.f_contiguous and not x.flags.c_contiguous else "C"
