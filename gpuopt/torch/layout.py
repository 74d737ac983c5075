"""Where tensors lie, asked of hundreds at every step: in compiled code where PyTorch's objects can
be read in place, else tensor by tensor."""

import ctypes
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from gpuopt.backends.cache import import_source
from gpuopt.lowering.python import print_into

LOW = 0xFFFFFFFF  # a version is 32 bits


class Watch:
    """Tensors that were looked at closely, and whether others lie like them."""

    def __init__(self, tensors: tuple[Any, ...]) -> None:
        self.layouts = list(map(layout, tensors))
        self.reader = reader() if all(map(is_readable, tensors)) else None
        if self.reader is not None:
            self.types = np.array([id(type(t)) for t in tensors], np.int64)
            self.sizes = np.array([t.element_size() for t in tensors], np.int64)
            self.extents = np.array(list(map(extent, tensors)), np.int64)
            self.looks = np.zeros((len(tensors), self.reader.WORDS), np.int64)
            for tensor, words in zip(tensors, self.looks, strict=True):
                self.reader.look(id(tensor), words)
            self.addresses = np.empty(len(tensors), np.int64)
            self.tables = self.types, self.looks, self.sizes, self.extents, self.addresses
        addresses = self.follow(tensors)
        self.where = None if addresses is None else addresses.tobytes()

    def stay(self, tensors: tuple[Any, ...]) -> bool:
        """Whether these tensors lie like them, and where they did."""
        now = self.follow(tensors)
        return now is not None and now.tobytes() == self.where  # faster than to compare the arrays

    def follow(self, tensors: tuple[Any, ...]) -> np.ndarray | None:
        """The addresses of these tensors, if there are as many, and each lies like the one before
        it in shape, strides, dtype and device, in memory that its storage has; else None. What
        is returned, the next call may write to."""
        if len(tensors) != len(self.layouts):
            return None
        if self.reader is None:
            try:
                same = list(map(layout, tensors)) == self.layouts and all(map(is_backed, tensors))
                return np.array(list(map(address, tensors)), np.int64) if same else None
            except RuntimeError:  # a tensor without memory
                return None
        return self.addresses if self.reader.follow(id(tensors), *self.tables) else None


def places(tensors: Sequence[Any]) -> np.ndarray | None:
    """The addresses of all words of memory that say how tensors lie and where, each after what says
    that it can be read; None where that is not known."""
    if reader() is None or not all(map(is_readable, tensors)):
        return None
    found = np.empty(len(tensors) * reader().MOST, np.int64)
    count = reader().places(np.array(list(map(id, tensors)), np.int64), found)
    return found[:count] if count >= 0 else None


def is_readable(t: Any) -> bool:
    """Whether compiled code can look at it: a user's own entry in a state may be no tensor."""
    return isinstance(t, torch.Tensor) and t.layout is torch.strided and t.ndim <= 5


def layout(t: Any) -> tuple[Any, ...]:
    if not isinstance(t, torch.Tensor):
        return (type(t),)
    return type(t), t.shape, t.stride(), t.dtype, t.device, t.is_conj(), t.is_neg()


def address(t: Any) -> int:
    return t.data_ptr() if isinstance(t, torch.Tensor) else 0


def extent(t: torch.Tensor) -> int:
    """Bytes from a tensor's first element to the end of its last; 0 if it has none."""
    if t.numel() == 0:
        return 0
    last = sum((n - 1) * step for n, step in zip(t.shape, t.stride(), strict=True))
    return (last + 1) * t.element_size()


def is_backed(t: Any) -> bool:
    """Whether a tensor's elements lie in memory that its storage has: `resize_` of a storage takes
    it away, and some subclasses have none. True for what is no dense tensor."""
    if not isinstance(t, torch.Tensor) or t.layout is not torch.strided or t.numel() == 0:
        return True
    storage = t.untyped_storage()
    needed = t.storage_offset() * t.element_size() + extent(t)
    return storage.data_ptr() != 0 and needed <= storage.nbytes()


class Versions:
    """Tensors that steps write to, of which autograd is told so.

    PyTorch raises when a backward pass needs what a tensor held before. Keeps them alive."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self.tensors = list(tensors)
        self.bump: Callable[[], object]
        if reader() is None or not all(isinstance(t, torch.Tensor) for t in tensors):
            self.bump = functools.partial(torch.autograd.graph.increment_version, self.tensors)
        else:
            addresses = np.array(list(map(id, tensors)), np.int64)
            self.bump = functools.partial(reader().bump, addresses)


@functools.cache
@torch.inference_mode(False)  # in inference mode, tensors have no version counter
def reader() -> Any:
    """kernels/tensors_numba.py for this build of PyTorch; None where its objects are unknown."""
    at = offsets()
    if at is None:
        return None
    try:
        names = "IMPL, STORAGE, DATA, NBYTES, SIZES, VERSION, COUNT"
        text = f"{names} = {', '.join(map(str, at))}\n"
        module = import_source("tensors", print_into("tensors_numba", text))
        return module if reads_rightly(module) else None
    except (ImportError, NotImplementedError):  # no Numba, or it is to compile nothing
        return None


def offsets() -> tuple[int, ...] | None:
    """Where in its object a tensor's implementation is; in that its storage; in a storage its data
    and its size; in an implementation the axes and the version counter; in that the count: bytes.

    None if they are not found, each once, in what these objects are known to be as large as at
    least.
    """
    whole = torch.empty(5000, dtype=torch.float32, device="cpu")
    tensor = whole[77:].as_strided((7, 11, 13), (401, 17, 3))
    sharing, other = tensor.detach(), tensor.data  # the first has the tensor's version counter
    storage = tensor.untyped_storage()
    try:
        handles = tensor._cdata, storage._cdata
        bodies = [words(t._cdata, 22) for t in (tensor, sharing, other)]
    except AttributeError:
        return None
    head, data = words(id(tensor), type(tensor).__basicsize__ // 8), words(handles[1], 9)
    body = bodies[0]
    axes = [3, 7, 11, 13, 0, 0, 401, 17, 3, 0, 0, 77, 7 * 11 * 13]
    there = (0, 1, 2, 3, 6, 7, 8, 11, 12)  # a slot of an axis that the tensor lacks holds anything
    found = [
        [k for k, word in enumerate(head) if word == handles[0]],
        [k for k, word in enumerate(body) if word == handles[1]],
        [k for k, word in enumerate(data) if word == storage.data_ptr()],
        [k for k, word in enumerate(data) if word == storage.nbytes()],
        [k for k in range(len(body) - 12) if all(body[k + j] == axes[j] for j in there)],
    ]
    if not all(found) or len(found[3]) != 1 or len(found[4]) != 1:
        return None
    counters = [
        k
        for k, word in enumerate(body[: found[4][0]])
        if word == bodies[1][k] != bodies[2][k] and word > 2**16 and word % 8 == 0
    ]
    if len(counters) != 1:
        return None
    counter = words(body[counters[0]], 3)
    torch.autograd.graph.increment_version(tensor)
    raised = [(b - a) & LOW == 1 for a, b in zip(counter, words(body[counters[0]], 3), strict=True)]
    if sum(raised) != 1:
        return None
    return tuple(8 * k for k in (*(at[0] for at in found), counters[0], raised.index(True)))


def words(address: int, count: int) -> list[int]:
    return list((ctypes.c_int64 * count).from_address(address))


def reads_rightly(module: Any) -> bool:
    """Try it on tensors that differ in one thing each."""
    whole = torch.zeros(400, dtype=torch.float32, device="cpu")
    cases = [
        whole[3:11],
        whole[3:19:2],
        whole[:24].view(4, 6),
        whole[:24].view(4, 6).t(),
        whole[:24].view(6, 4),
        whole[:0],
        whole[5],
        whole[:8].double(),
        whole[:8].to(torch.bfloat16),
        whole[:8].to(torch.complex64),
        whole[:8].to(torch.complex64).conj(),
        torch.nn.Parameter(whole[3:11].clone()),
    ]
    looks = np.zeros((len(cases), module.WORDS), np.int64)
    for case, look in zip(cases, looks, strict=True):
        module.look(id(case), look)
    for k, a in enumerate(cases):
        for j, b in enumerate(cases):
            found = np.zeros(1, np.int64)
            sizes = np.array([[b.element_size()], [extent(b)]], np.int64)
            one = (b,)
            same = module.follow(id(one), np.array([id(type(a))]), looks[k : k + 1], *sizes, found)
            if same != (k == j) or (same and found[0] != b.data_ptr() and b.numel()):
                return False
    return versions_are_raised(module, cases)


def versions_are_raised(module: Any, tensors: Sequence[torch.Tensor]) -> bool:
    """Try `bump` on tensors, on one whose version is large, and on one without a version."""
    many, alone = torch.zeros(3, device="cpu"), torch.zeros(3, device="cpu")
    torch.autograd.graph.increment_version([many] * 70_000)
    with torch.inference_mode():
        none = torch.zeros(3, device="cpu")
    tried = [many, *tensors[-1:]]
    before = [t._version for t in (*tried, alone)]
    module.bump(np.array([id(t) for t in (*tried, none)], np.int64))
    after = [t._version for t in (*tried, alone)]
    return after == [*(version + 1 for version in before[:-1]), before[-1]]
