"""CUDA's streams, events and memory pools, simulated so that a missing wait shows.

Work put on a stream is done later: in that stream's order, after the events it waits for, and apart
from that in an order drawn at random. Memory that is freed is handed out again at once, as by
CuPy's pools: device memory to the stream on which it was allocated, page-locked memory to anybody.
So a copy that nobody waited for reads or writes memory that has become something else.
"""

import ctypes
import itertools
import random
from collections import defaultdict, deque
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.without_gpu import cupy_stand_in as stand_in


class Simulation:
    """Streams of a stand-in for CuPy, the module `cupy`. `copies`: the streams that copied."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.eagerness = self.random.choice([0, 1, 4])  # 0: nothing is done before it must be
        self.queues: dict[int, deque[Any]] = defaultdict(deque)
        self.pools: dict[Any, list[np.ndarray]] = defaultdict(list)
        self.names = itertools.count(1)
        self.current = [Stream(self, 0, device) for device in range(stand_in.DEVICES)]
        self.copies: list[int] = []
        self.host_waits = 0
        self.cupy = self.module()

    def module(self) -> ModuleType:
        cupy = stand_in.module()
        vars(cupy).update(empty=self.empty, ndarray=ndarray)
        cuda = vars(cupy)["cuda"]
        cuda.runtime.getDevice = lambda: stand_in.current.device
        cuda.get_current_stream = self.current_stream
        cuda.alloc_pinned_memory = lambda size: self.allocate("page-locked", size).data
        cuda.Stream, cuda.Event = self.new_stream, lambda disable_timing: Event(self)
        return cupy

    def current_stream(self) -> "Stream":
        return self.current[stand_in.current.device]

    def new_stream(self, non_blocking: bool = False) -> "Stream":
        assert non_blocking, "such a stream and the null stream wait for each other"
        return Stream(self, next(self.names), stand_in.current.device)

    def allocate(self, pool: Any, size: int) -> np.ndarray:
        size = max(-(-size // 512) * 512, 512)
        return np.asarray(Block(self.pools[pool, size], size))

    def empty(self, shape: Any, dtype: Any, order: Any = "C") -> "ndarray":
        stream, dtype = self.current_stream(), np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        memory = self.allocate((stream.ptr, stream.device), size)
        array = ndarray(np.ndarray(shape, dtype, memory, order=order))
        array.simulation = self
        return array

    def put(self, stream: int, work: Callable[[], Any], ready: Any = lambda: True) -> None:
        self.queues[stream].append((ready, work))
        for _ in range(self.random.randint(0, self.eagerness)):
            self.progress()

    def progress(self) -> bool:
        """Do one piece of work, drawn from those that need not wait. False if there is none."""
        able = [queue for queue in self.queues.values() if queue and queue[0][0]()]
        if able:
            self.random.choice(able).popleft()[1]()
        return bool(able)

    def finish(self) -> None:
        while self.progress():
            pass
        assert not any(self.queues.values()), "a stream waits for ever"

    def read(self, array: "ndarray") -> list[np.ndarray]:
        """A list that will hold a copy of `array`, once the current stream gets to it.

        Like a kernel, this knows an address and does not keep the memory from being freed.
        """
        about, found = dict(array.host.__array_interface__), []
        source = SimpleNamespace(__array_interface__=about)
        self.put(self.current_stream().ptr, lambda: found.append(np.array(source, order="K")))
        return found

    def write(self, array: "ndarray", value: int) -> None:
        """Set every byte of `array` to `value`, once the current stream gets to it."""
        ptr, size = array.data.ptr, array.nbytes
        self.put(self.current_stream().ptr, lambda: ctypes.memset(ptr, value, size))


class Block:
    """Memory that goes back to its pool with the last array over it."""

    def __init__(self, pool: list[np.ndarray], size: int) -> None:
        self.pool = pool
        self.raw = pool.pop() if pool else np.full(size, 0xA5, np.uint8)
        self.__array_interface__ = self.raw.__array_interface__

    def __del__(self) -> None:
        self.pool.append(self.raw)


class ndarray(stand_in.ndarray):
    simulation: Simulation

    @property
    def data(self) -> Any:
        return Pointer(self.host.ctypes.data, self.simulation)


class Pointer:
    def __init__(self, ptr: int, simulation: Simulation) -> None:
        self.ptr, self.simulation = ptr, simulation

    def copy_from_host_async(self, mem: int, size: int, stream: Any = None) -> None:
        stream = stream or self.simulation.current_stream()
        self.simulation.copies.append(stream.ptr)
        self.simulation.put(stream.ptr, lambda: ctypes.memmove(self.ptr, mem, size))


class Stream:
    def __init__(self, simulation: Simulation, ptr: int, device: int) -> None:
        self.simulation, self.ptr, self.device = simulation, ptr, device

    def wait_event(self, event: "Event") -> None:
        record = event.record_count
        self.simulation.put(self.ptr, lambda: None, lambda: record in event.done)

    def synchronize(self) -> None:
        """Have the host wait for what is on the stream now."""
        event = Event(self.simulation)
        event.device = self.device
        event.record(self)
        event.synchronize()

    def __enter__(self) -> "Stream":
        self.before, self.simulation.current[self.device] = (
            self.simulation.current[self.device],
            self,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self.simulation.current[self.device] = self.before


class Event:
    def __init__(self, simulation: Simulation) -> None:
        self.simulation, self.device = simulation, stand_in.current.device
        self.record_count, self.done = 0, {0}  # waiting for what was never recorded is no wait

    def record(self, stream: Stream | None = None) -> None:
        stream = stream or self.simulation.current_stream()
        assert stream.device == self.device, "an event of another device"
        self.record_count += 1
        record = self.record_count
        self.simulation.put(stream.ptr, lambda: self.done.add(record))

    def synchronize(self) -> None:
        self.simulation.host_waits += self.record_count not in self.done
        while self.record_count not in self.done:
            assert self.simulation.progress(), "the host waits for ever"
