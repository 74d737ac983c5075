"""What a GPU library must give, so that launches and steps can be written once for all."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np

from gpuopt.backends.base import DTYPES, Backend
from gpuopt.backends.headers import watch
from gpuopt.backends.memory import Memory
from gpuopt.backends.watch import Watch
from gpuopt.kernels.launch import BLOCKS_PER_MULTIPROCESSOR
from gpuopt.lowering.program import LoweringError, Program
from gpuopt.lowering.scalars import ScalarsProgram, trace_scalars
from gpuopt.lowering.trace import trace
from gpuopt.rules.base import Rule

Kernel = Callable[[int, tuple[Any, ...]], None]  # blocks, and arguments: arrays, int64, float64


class Upload(Protocol):
    """A buffer on a device that the host fills again and again."""

    target: Any

    def send(self, values: np.ndarray) -> None:
        """Fill it, on the current stream; waits for nothing."""

    def send_now(self, values: np.ndarray) -> None:
        """Fill it before this returns, also while the current stream is being captured."""


class DeviceBackend(Backend):
    """Memory and kernels of one GPU library. Whatever runs, runs on the current device and stream
    of that library, unless said otherwise."""

    on_gpu = True
    fixed_types: tuple[type, ...] = ()  # arrays whose memory is the same for as long as they live

    def watch(self, arrays: Sequence[tuple[str, Any]]) -> Watch:
        return watch(arrays)

    def check(self, memory: Memory, what: str) -> None:
        """Raise if a kernel cannot step what lies so; `what` names it."""
        dtype = memory.dtype
        if dtype.name not in DTYPES or not dtype.isnative:
            names = ", ".join(DTYPES)
            raise TypeError(f"{what} has dtype {dtype}; the {self.name} backend takes {names}")
        if any(place % dtype.alignment for place in (memory.address, *memory.strides)):
            raise ValueError(
                f"{what} lies at an address or stride that is not a multiple of its item size "
                f"({dtype.itemsize} bytes); pass a copy of it"
            )

    @abstractmethod
    def on(self, device: int) -> AbstractContextManager[Any]:
        """Make a device current."""

    @abstractmethod
    def multiprocessors(self, device: int) -> int:
        """How many multiprocessors a device has."""

    def resident(self, device: int, kernel: Kernel) -> int:
        """How many blocks of a kernel a multiprocessor holds at once."""
        return BLOCKS_PER_MULTIPROCESSOR

    @abstractmethod
    def empty(self, count: int, dtype: Any) -> Any:
        """New memory, not filled."""

    @abstractmethod
    def to_device(self, values: np.ndarray) -> Any:
        """A copy of host values."""

    @abstractmethod
    def upload(self, shape: tuple[int, ...], dtype: Any) -> Upload:
        """A buffer to be filled by the host."""

    @abstractmethod
    def sweep_kernel(self, program: Program, real: str, storage: tuple[str, ...]) -> Kernel: ...

    @abstractmethod
    def norm_kernel(self, storage: str) -> Kernel: ...

    @abstractmethod
    def control_kernel(self, program: ScalarsProgram, real: str) -> Kernel: ...

    def capturing(self) -> Any:
        """The current stream, if it is being captured in a graph; else None."""
        return None

    def capturing_on(self, devices: Iterable[int | None]) -> Any:
        for device in devices:
            if device is not None:
                with self.on(device):
                    stream = self.capturing()
                if stream is not None:
                    return stream
        return None

    def read(self, array: Any) -> np.ndarray:
        """A step's result on the host, whatever stream it was computed on."""
        return self.to_host(array)

    def mark(self) -> Any:
        """Remember what is on the current stream now, for `wait`."""
        return None

    def wait(self, mark: Any) -> None:
        """Have the host wait until what `mark` remembers is done."""

    def copy_over(self, target: Any, source: Any) -> None:
        """Copy an array from another device, on the current stream."""
        raise NotImplementedError

    def meet(self, devices: Sequence[int]) -> None:
        """Each device's current stream waits for what is on the others' now."""
        raise NotImplementedError

    def after(self, stream: Any) -> AbstractContextManager[Any]:
        """What is put on the current stream inside comes after what is on `stream` now, and before
        what comes on it later."""
        return nullcontext()

    def key(self, rule: Rule) -> tuple[Any, ...]:
        program = trace(rule)
        try:
            return program, trace_scalars(rule)
        except LoweringError:  # nobody knows what it reads: it shares a launch with itself alone
            return program, rule, id(rule)

    def scalar(self, value: Any, what: str) -> Any:
        is_array = hasattr(value, "__dlpack__") or hasattr(value, "__cuda_array_interface__")
        if not is_array or isinstance(value, np.ndarray | np.generic):
            return None
        view = self.view(value, what)
        memory = self.memory(view)
        if memory.size != 1 or memory.dtype.name not in ("float32", "float64"):
            raise ValueError(
                f"{what} must be a number, or an array of one float32 or float64 element, "
                f"got shape {memory.shape} and dtype {memory.dtype}"
            )
        return view
