"""Mini-batches on their way to a GPU: the next one is copied while the current one trains."""

import importlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gpuopt import backends
from gpuopt.arrays import is_array
from gpuopt.backends.base import BackendError
from gpuopt.backends.host import as_numpy, describe

DTYPES = "?bBhHiIlLqQefdFD"  # those of NumPy that CuPy has, by their characters


def prefetch(batches: Iterable[Any], device: int | None = None) -> "Prefetch":
    """The same mini-batches as CuPy arrays on a GPU, the next one copied while one is in use.

        for X, Y in gpuopt.prefetch(gpuopt.minibatches(X_host, Y_host, 64)):

    batches: an iterable of mini-batches, each an array or a tuple, list or mapping of arrays in the
    CPU's memory: NumPy arrays or tensors, of numbers or booleans. Shapes, dtypes and C or Fortran
    order stay as they are; a mapping becomes a dict. It is read one mini-batch ahead, and so are
    its errors raised.
    device: the number of a GPU. None is CuPy's current one; where CuPy cannot run there is nothing
    to move, and batches pass as they are.

    Each `for` loop over the result is one over `batches`, and `len()` is that of `batches`. The
    arrays are the caller's, to keep or to change, and belong to the CUDA stream that is current
    when they are handed out: keep to one stream within a loop, as CuPy's memory pool asks. The host
    waits for no copy of a batch in use. The GPU holds up to three batches, page-locked memory two.

    Raises BackendError if `device` is given and CuPy cannot run, ValueError if there is no such
    GPU, and TypeError, from the loop, for a batch with an element that is no such array.
    """
    if not hasattr(batches, "__iter__") and not hasattr(batches, "__getitem__"):
        raise TypeError(f"batches must be an iterable of mini-batches, got {describe(batches)}")
    return Prefetch(batches, gpu(device))


def gpu(device: Any) -> int | None:
    """The number of the GPU meant by `device`, or None where nothing is moved."""
    if device is not None and (isinstance(device, bool) or not hasattr(device, "__index__")):
        raise TypeError(f"device must be None or the number of a GPU, got {device!r}")
    try:
        backends.load("cupy")
    except BackendError:
        if device is None:
            return None
        raise
    runtime = importlib.import_module("cupy").cuda.runtime
    if device is None:
        return runtime.getDevice()
    count = runtime.getDeviceCount()
    if not 0 <= device < count:
        raise ValueError(f"device is {device}, but there are {count} GPUs, from 0 on")
    return int(device)


class Prefetch:
    """Mini-batches on GPU number `device`, or as they are (None): see `prefetch`."""

    def __init__(self, batches: Any, device: int | None) -> None:
        self.batches, self.device = batches, device

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        checked = (Batch(batch, number) for number, batch in enumerate(self.batches))
        if self.device is None:
            return (batch.given for batch in checked)
        return moved(checked, self.device)


class Batch:
    """A mini-batch as it was `given`, and its `arrays` as NumPy arrays."""

    def __init__(self, given: Any, number: int) -> None:
        self.given = given
        name = f"batch {number}"
        if isinstance(given, Mapping):
            members = {f"{name}, element {key!r},": x for key, x in given.items()}
        elif isinstance(given, (tuple, list)):
            members = {f"{name}, element {k},": x for k, x in enumerate(given)}
        elif is_array(given):
            members = {name: given}
        else:
            raise TypeError(
                f"{name} must be an array, or a tuple, list or mapping of arrays, "
                f"got {describe(given)}"
            )
        self.arrays = [in_host_memory(x, what) for what, x in members.items()]

    def like(self, arrays: Sequence[Any]) -> Any:
        """Other arrays in the structure of this batch."""
        if isinstance(self.given, Mapping):
            return dict(zip(self.given, arrays, strict=True))
        if isinstance(self.given, (tuple, list)):
            make: Callable[[Any], Any] = list if isinstance(self.given, list) else tuple
            return getattr(type(self.given), "_make", make)(arrays)  # a named tuple stays one
        return arrays[0]


def in_host_memory(x: Any, what: str) -> np.ndarray:
    """`x` as a NumPy array over the same memory. TypeError, naming `what`, if it is none."""
    if not is_array(x):
        raise TypeError(
            f"{what} must be a NumPy array or a CPU tensor, got {describe(x)}; try numpy.asarray"
        )
    if backends.on_device(x):
        raise TypeError(
            f"{what} {describe(x)}, lies on a GPU already; prefetch moves arrays from the CPU's "
            "memory"
        )
    array = as_numpy(x, what)
    if array.dtype.char not in DTYPES or not array.dtype.isnative:
        raise TypeError(
            f"{what} has dtype {array.dtype}; prefetch moves numbers of up to 64 bits (complex: "
            "128) and booleans, in the machine's byte order"
        )
    return array


def moved(batches: Iterable[Batch], device: int) -> Iterator[Any]:
    """The batches as CuPy arrays on GPU number `device`, read one ahead."""
    from gpuopt.backends.cupy_staging import Moving, Staging

    staging = Staging(device)
    # a deque and no variables: a batch that was handed out must not be kept alive from here
    waiting: deque[Moving] = deque()
    try:
        for batch in batches:
            waiting.append(staging.start(batch.arrays, batch.like))
            if len(waiting) > 1:
                yield staging.hand_out(waiting.popleft())
        while waiting:
            yield staging.hand_out(waiting.popleft())
    finally:
        staging.stop()
