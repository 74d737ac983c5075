"""Where tensors lie, asked of hundreds at every step: in compiled code where PyTorch's objects can
be read in place, else tensor by tensor."""

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gpuopt.backends.cache import import_source
from gpuopt.lowering.python import print_into


class Watch:
    """Tensors that were looked at closely, and whether others lie like them."""

    def __init__(self, tensors: tuple[Any, ...]) -> None:
        self.layouts = list(map(layout, tensors))
        self.reader = reader() if all(map(is_readable, tensors)) else None
        if self.reader is not None:
            self.types = np.array([id(type(t)) for t in tensors], np.int64)
            self.sizes = np.array([t.element_size() for t in tensors], np.int64)
            self.looks = np.zeros((len(tensors), self.reader.WORDS), np.int64)
            for tensor, words in zip(tensors, self.looks, strict=True):
                self.reader.look(id(tensor), words)
            self.addresses = np.empty(len(tensors), np.int64)
            self.tables = self.types, self.looks, self.sizes, self.addresses
        addresses = self.follow(tensors)
        self.where = None if addresses is None else addresses.tobytes()

    def stay(self, tensors: tuple[Any, ...]) -> bool:
        """Whether these tensors lie like them, and where they did."""
        now = self.follow(tensors)
        return now is not None and now.tobytes() == self.where  # faster than to compare the arrays

    def follow(self, tensors: tuple[Any, ...]) -> np.ndarray | None:
        """The addresses of these tensors, if there are as many, and each lies like the one before
        it in shape, strides, dtype and device; else None. What is returned, the next call may
        write to."""
        if len(tensors) != len(self.layouts):
            return None
        if self.reader is None:
            try:
                same = list(map(layout, tensors)) == self.layouts
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


@functools.cache
def reader() -> Any:
    """kernels/tensors_numba.py for this build of PyTorch; None where its objects are unknown."""
    at = offsets()
    if at is None:
        return None
    try:
        text = f"IMPL, STORAGE, DATA, SIZES = {', '.join(map(str, at))}\n"
        module = import_source("tensors", print_into("tensors_numba", text))
        return module if reads_rightly(module) else None
    except (ImportError, NotImplementedError):  # no Numba, or it is to compile nothing
        return None


def offsets() -> tuple[int, int, int, int] | None:
    """Where in its object a tensor's implementation is, in that its storage and its axes, and in a
    storage its data: bytes. None if they are not found, each once, in what these objects are known
    to be as large as at least."""
    whole = torch.empty(5000, dtype=torch.float32, device="cpu")
    tensor = whole[77:].as_strided((7, 11, 13), (401, 17, 3))
    storage = tensor.untyped_storage()
    try:
        handles = tensor._cdata, storage._cdata
    except AttributeError:
        return None
    head = words(id(tensor), type(tensor).__basicsize__ // 8)
    body, data = words(handles[0], 22), words(handles[1], 4)
    axes = [3, 7, 11, 13, 0, 0, 401, 17, 3, 0, 0, 77, 7 * 11 * 13]
    there = (0, 1, 2, 3, 6, 7, 8, 11, 12)  # slots of axes that are not may hold anything
    begins = [k for k in range(len(body) - 12) if all(body[k + j] == axes[j] for j in there)]
    if handles[0] not in head or handles[1] not in body or storage.data_ptr() not in data:
        return None
    if len(begins) != 1:
        return None
    data_at = data.index(storage.data_ptr())
    return 8 * head.index(handles[0]), 8 * body.index(handles[1]), 8 * data_at, 8 * begins[0]


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
            size = np.array([b.element_size()], np.int64)
            one = (b,)
            same = module.follow(id(one), np.array([id(type(a))]), looks[k : k + 1], size, found)
            if same != (k == j) or (same and found[0] != b.data_ptr() and b.numel()):
                return False
    return True
