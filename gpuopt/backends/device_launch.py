"""One signature's tensors on one GPU: tables that stay there, and the launches over them."""

import weakref
from collections.abc import Sequence
from operator import is_
from typing import Any

import numpy as np

from gpuopt.backends.base import Launch, Work
from gpuopt.backends.device import DeviceBackend, Kernel
from gpuopt.backends.headers import headers
from gpuopt.backends.memory import Memory
from gpuopt.backends.tables import chunks_of, forbidden, reaches, tables
from gpuopt.kernels.launch import chunk_length, grid
from gpuopt.rules.whole import WholeStep


class Same:
    """Tells at once whether a step's gradients are the very objects of the step before.

    Gradients are as large as the model, so none is kept alive for it, until a step has brought
    those of the step before: then the user keeps them anyway.
    """

    def __init__(self, at: Sequence[int], fixed_types: tuple[type, ...]) -> None:
        self.at, self.types = at, fixed_types
        self.grads: tuple[Any, ...] = ()  # of the last step, once they have come twice
        self.mine: tuple[Any, ...] = ()
        self.weak: list[Any] = []

    def as_before(self, grads: tuple[Any, ...]) -> bool:
        if not self.mine:
            return False
        return grads is self.grads or all(map(is_, self.pick(grads), self.mine))

    def pick(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Those of the launch, among the gradients of all parameters."""
        return grads if len(grads) == len(self.at) else tuple([grads[k] for k in self.at])

    def note(self, grads: tuple[Any, ...]) -> None:
        """Remember gradients that were looked at closely; () for none."""
        mine = self.pick(grads) if grads else ()
        again = len(mine) == len(self.weak) and all(
            ref() is x for ref, x in zip(self.weak, mine, strict=True)
        )
        self.grads, self.mine = (grads, mine) if again and mine else ((), ())
        known = all(type(x) in self.types for x in mine)
        self.weak = [weakref.ref(x) for x in mine] if known else []


class DeviceLaunch(Launch):
    """One signature's tensors on one device."""

    backend: DeviceBackend

    def __init__(self, backend: DeviceBackend, work: Work) -> None:
        super().__init__(backend, work)
        self.backend = backend
        device = work.memories[0][0].device
        assert device is not None
        self.device = device
        self.tensors, layouts, sizes = tables(work.memories, work.rows)
        count = backend.multiprocessors(device)
        chunks = chunks_of(sizes, chunk_length(int(sizes.sum()), count))
        self.count = np.int64(len(chunks))
        self.rows = max(work.rows) + 1
        self.program = work.program
        self.storage = tuple(m.as_real.dtype.name for m in work.memories[0])
        with backend.on(device):
            self.kernel = backend.sweep_kernel(self.program, self.real.name, self.storage)
            self.grid = self.grid_of(self.kernel, len(chunks))
            if isinstance(work.rule, WholeStep) and (work.rule.scaled or work.rule.skippable):
                self.norm = backend.norm_kernel(self.storage[1])
                self.norm_grid = self.grid_of(self.norm, len(chunks))
            self.chunks, self.layouts = backend.to_device(chunks), backend.to_device(layouts)
            self.addresses = backend.upload(self.tensors.shape, np.int64)
            self.table = backend.upload((self.rows, len(self.program.scalars)), self.real)
        self.places = reaches(self.grads, work.at), forbidden(work), self.tensors
        self.sent = np.zeros(len(self.tensors), np.int64)
        self.compared = False
        self.same = Same(work.at, backend.fixed_types)

    def grid_of(self, kernel: Kernel, chunks: int) -> int:
        """As many blocks as the device holds at once, but none without a chunk."""
        multiprocessors = self.backend.multiprocessors(self.device)
        return grid(chunks, multiprocessors, self.backend.resident(self.device, kernel))

    def follow(self, grads: tuple[Any, ...]) -> bool:
        if self.same.as_before(grads):
            return True
        followed = super().follow(grads)
        self.same.note(grads if followed else ())
        return followed

    def rest(self) -> None:
        super().rest()
        self.same.note(())

    def relocate(self, addresses: np.ndarray) -> bool:
        self.compared = False
        return headers().relocate(addresses, *self.places)

    def move(self, k: int, view: Any, memory: Memory) -> None:
        self.tensors[k, 1] = memory.address
        self.compared = False

    @property
    def moved(self) -> bool:
        """Whether the device's table of addresses is out of date."""
        if not self.compared:
            self.compared = np.array_equal(self.sent, self.tensors[:, 1])
        return not self.compared

    def begin(self) -> None:
        """No signal handler runs in a step on a GPU, so none stops it half-way."""

    def run(self, table: np.ndarray) -> None:
        if not self.count:
            return
        with self.backend.on(self.device):
            self.send_addresses()
            self.table.send(table)
            self.sweep()

    def send_addresses(self) -> None:
        if self.moved:
            self.addresses.send(self.tensors)
            self.sent[:] = self.tensors[:, 1]

    def sweep(self) -> None:
        """Launch the sweep, with the table of scalars as it is on the device."""
        if self.count:
            tensors, table = self.addresses.target, self.table.target
            self.kernel(self.grid, (tensors, self.chunks, self.count, self.layouts, table))

    def measure(self, partials: Any) -> None:
        """Launch the norm: two numbers for each chunk."""
        if self.count:
            columns = np.int64(self.tensors.shape[1])
            tensors = self.addresses.target
            args = (tensors, self.chunks, self.count, self.layouts, columns, partials)
            self.norm(self.norm_grid, args)
