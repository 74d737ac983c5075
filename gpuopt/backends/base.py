"""The protocol of a backend: views of arrays, state, and a launch for one signature."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.backends.control import Control
from gpuopt.backends.memory import Memory
from gpuopt.backends.overlaps import Intervals
from gpuopt.backends.watch import Watch
from gpuopt.lowering.program import Program
from gpuopt.rules.base import Rule

# By name: NumPy's bfloat16 belongs to ml_dtypes, which need not be there.
DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")


class BackendError(RuntimeError):
    """A backend that was asked for by name cannot run here; the message says why."""


def arithmetic(dtype: np.dtype) -> np.dtype:
    """Element arithmetic for parameters of `dtype`: float64 for float64, else float32."""
    return np.dtype("float64" if dtype in (np.dtype("f8"), np.dtype("c16")) else "float32")


def state_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of state buffers: the parameter's own, but float32 for 16-bit parameters."""
    return np.dtype("float32") if dtype.itemsize == 2 else dtype


@dataclass(frozen=True)
class Work:
    """The tensors of one dtype signature, and what a launch must know of them."""

    rule: Rule
    key: tuple[Any, ...]  # what `Backend.key` says of the rule
    # for each tensor [p, g, *state], as views of the backend; g is None where there is no gradient
    # in the step for which this is made
    tensors: Sequence[list[Any]]
    memories: Sequence[list[Memory]]  # where these lie; a gradient that is None: where it has lain
    rows: Sequence[int]  # for each tensor, its row in the table of scalars
    at: Sequence[int]  # for each tensor, its position among the gradients given to `follow`
    written: Intervals  # every byte that the optimizer's step may write
    alone: bool = False  # whether the step has no other gradient

    @property
    def program(self) -> Program:
        """The rule's formula, traced for this work."""
        return self.key[0]

    @property
    def zeroes(self) -> bool:
        """Whether the sweep writes zeros over the gradients."""
        return "g" in self.rule.outputs

    @property
    def pinned(self) -> bool:
        """Whether gradients must stay where they are: two that are zeroed could come to share
        memory, and only a new plan looks at that."""
        return self.zeroes and not self.alone


class Launch(ABC):
    """One signature's tensors, ready to be swept; a step is `follow` and then `run`.

    `real` is the dtype of element arithmetic and of the table of scalars. `active` says which
    tensors have a gradient in this step (all of them, unless the backend `masks`), `swept` which
    ones `activate` has been told of, and `changed` whether these are not the same.
    """

    def __init__(self, backend: "Backend", work: Work) -> None:
        self.backend, self.work = backend, work
        self.real = arithmetic(backend.memory(work.tensors[0][0]).dtype)
        self.held = [
            arrays[1] for arrays in work.tensors
        ]  # views of gradients, until they are read
        self.grads = [memories[1] for memories in work.memories]
        self.active = np.array([view is not None for view in self.held])
        self.swept, self.changed = self.active.copy(), False

    def follow(self, grads: tuple[Any, ...]) -> bool:
        """Take this step's gradients (one per parameter of the optimizer, None allowed).

        True if they lie like those the launch was made for (shape, strides, dtype, device) and
        reach into nothing that is written, wherever they are. False: a new launch is needed, or
        an error that names the parameter.
        """
        moved = []
        active = np.array([grads[position] is not None for position in self.work.at])
        if not self.backend.masks and not active.all():
            return False
        for k, position in enumerate(self.work.at):
            if not active[k]:
                continue
            try:
                view = self.backend.view(
                    grads[position], f"gradient {position}", written=self.work.zeroes
                )
            except (TypeError, ValueError):
                return False
            memory, old = self.backend.memory(view), self.grads[k]
            if memory != old:
                same_layout = memory._replace(address=old.address) == old
                if not same_layout or self.work.pinned or self.work.written.touch(memory):
                    return False
            moved.append((k, view, memory))
        self.held = [view for _, view, _ in moved]
        self.active[:] = active
        self.changed = not np.array_equal(active, self.swept)
        for k, view, memory in moved:
            self.grads[k] = memory
            self.move(k, view, memory)
        return True

    def let_go(self) -> None:
        """Keep no gradient of this step alive."""
        self.held = []

    def rest(self) -> None:
        """Keep no gradient alive, nor remember any: another launch takes over for some steps."""
        self.let_go()

    def relocate(self, addresses: np.ndarray) -> bool:
        """Take this step's gradients, which lie at `addresses` (one per parameter of the optimizer)
        and otherwise as those that the launch was made for: the caller knows, and has Numba. False:
        a new launch is needed, or an error."""
        return False

    @abstractmethod
    def move(self, k: int, view: Any, memory: Memory) -> None:
        """Read tensor k's gradient from `view` from now on."""

    def activate(self, rows: np.ndarray) -> None:
        """Use these rows of the table, one for each active tensor, and leave out the others; of a
        backend that `masks`."""
        self.swept[:] = self.active

    @abstractmethod
    def begin(self) -> None:
        """Nothing of the coming step has been done yet."""

    @abstractmethod
    def run(self, table: np.ndarray) -> None:
        """Sweep once, or finish the sweep that an exception has stopped since `begin`. `table` is
        (rows, scalars) of `real`: what is the same for all elements."""


class Backend(ABC):
    """Memory and sweeps of one kind of array."""

    name: str
    on_gpu = False
    masks = False  # whether its launches can leave out tensors that have no gradient in a step
    by_address = True  # whether its launches read gradients by address, and can `relocate`
    takes_streams = False  # whether it can launch on a stream of another library

    @abstractmethod
    def view(self, array: Any, what: str, written: bool = False) -> Any:
        """`array` as this backend's own array type, over the same memory.

        Raises TypeError or ValueError, naming `what`, for an array that cannot be swept here, and
        for a read-only one that is to be `written`.
        """

    def watch(self, arrays: Sequence[tuple[str, Any]]) -> Watch:
        """What tells whether the user has replaced these arrays, of these labels, or changed where
        they lie."""
        return Watch(arrays)

    def own(self, view: Any) -> Any:
        """A view of the same memory, whose shape and strides nobody else can assign to."""
        return view

    @abstractmethod
    def memory(self, view: Any) -> Memory:
        """Where a view lies."""

    @abstractmethod
    def zeros_like(self, view: Any, dtype: np.dtype) -> Any:
        """New zeros of a view's shape, dense in the order in which the view lies, on its device."""

    def check_copies(self) -> None:  # noqa: B027  most can
        """TypeError where an optimizer cannot be copied or pickled with its arrays."""

    @abstractmethod
    def copy(self, view: Any) -> Any:
        """A copy that shares no memory, in the same order."""

    @abstractmethod
    def assign(self, view: Any, values: Any) -> None:
        """Set a view's elements to `values`, an array of its shape and dtype, host or device."""

    @abstractmethod
    def to_host(self, view: Any) -> np.ndarray:
        """A view's elements as a NumPy array."""

    @abstractmethod
    def key(self, rule: Rule) -> tuple[Any, ...]:
        """What two rules must have in common to share a launch: first their formula, as a Program.
        It is traced at every call: what a formula reads may have changed."""

    @abstractmethod
    def launch(self, work: Work) -> Launch:
        """A launch that sweeps over `work`."""

    def control(self, launches: Sequence[Any]) -> Control | None:
        """What carries these launches through a step on a GPU; None on the CPU."""
        return None

    def capturing_on(self, devices: Iterable[int | None]) -> Any:
        """The current stream of one of these GPUs that is being captured in a graph, or None."""
        return None

    def on_stream(self, device: int, address: int) -> AbstractContextManager[Any]:
        """Launch on a device's stream of another library, which is at `address`."""
        raise NotImplementedError

    def scalar(self, value: Any, what: str) -> Any:
        """A number that lies on a GPU, as this backend's array of one element; None for others."""
        return None
