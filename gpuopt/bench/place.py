"""The memory that candidates share: parameters, gradients and state of one problem.

The same step ran at 62 or at 104 GB/s depending on where its arrays lay, so whoever can step given
arrays in place is given these. Each kind of array is one block, cut into tensors at multiples of
512 bytes, as allocators cut theirs.
"""

import contextlib
import math
from typing import Any

import numpy as np

from gpuopt import backends
from gpuopt.backends.base import state_dtype
from gpuopt.backends.bfloat16 import bfloat16
from gpuopt.bench.problem import Problem
from gpuopt.errors import InputError

ALIGNMENT = 512  # bytes
PERIOD = 999_983  # numbers are repeated after so many: a prime, so no two tensors hold the same


class Place:
    """params, grads, state[name]: one array for each shape, views of flat["p"], flat["g"] and
    flat[name]. NumPy arrays on the CPU; on a GPU CuPy's, or torch tensors for bfloat16."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.rule = problem, problem.make_rule()
        self.dtype = np.dtype(bfloat16() if problem.dtype == "bfloat16" else problem.dtype)
        self.memory = memory_for(problem)
        least = ALIGNMENT // self.dtype.itemsize
        padded = [math.ceil(size / least) * least for size in problem.sizes]
        self.starts = [sum(padded[:k]) for k in range(len(padded))]
        self.length = sum(padded)
        wide = state_dtype(self.dtype)
        dtypes = {"p": self.dtype, **dict.fromkeys(self.rule.state, wide), "g": self.dtype}
        with self.memory.device():
            self.flat = {n: self.memory.empty(self.length, t) for n, t in dtypes.items()}
        cut = {name: self.cut(block) for name, block in self.flat.items()}
        self.params, self.grads = cut.pop("p"), cut.pop("g")
        self.state = cut
        rng = np.random.default_rng(problem.seed)
        # Small, so that a step of 1e-3 is several units in the last place of 16 bits.
        self.numbers = (1e-3 + 9e-3 * rng.random(PERIOD)).astype(self.dtype)
        gradients = (0.1 + rng.random(PERIOD)) * rng.choice([-1, 1], PERIOD)
        self.gradients = gradients.astype(self.dtype)
        self.copies = copies_for(self)
        self.settle()

    def cut(self, block: Any) -> list[Any]:
        """A block's views in the problem's shapes."""
        shapes, sizes = self.problem.shapes, self.problem.sizes
        spans = zip(self.starts, sizes, shapes, strict=True)
        return [block[start : start + size].reshape(shape) for start, size, shape in spans]

    def restart(self) -> None:
        """Parameters and state as before the first step."""
        self.fill(self.flat["p"], self.numbers)
        for name in self.state:
            self.flat[name][...] = self.rule.initial.get(name, 0.0)

    def give(self, t: int) -> None:
        """The gradients of the gate's step t."""
        self.give_all(self.gradients * self.factor(t))

    def factor(self, t: int) -> Any:
        """Gradients change from step to step: with the same ones any betas take the same steps."""
        return self.dtype.type(1.0 if t % 2 else -0.5)

    def settle(self) -> None:
        """As before the first step, with gradients that keep v from getting small."""
        self.restart()
        self.give_all(np.abs(self.gradients))

    def give_all(self, numbers: np.ndarray) -> None:
        if self.copies:
            repeat(self.copies.gradients, numbers)
        else:
            self.fill(self.flat["g"], numbers)

    def fill(self, block: Any, numbers: np.ndarray) -> None:
        with self.memory.device():
            repeat(block, self.memory.upload(numbers))
            self.memory.wait()

    def start(self, k: int, first: int, count: int) -> np.ndarray:
        """What parameter k holds before the first step, from its element `first` on."""
        return self.drawn(self.numbers, k, first, count)

    def gradient(self, t: int, k: int, first: int, count: int) -> np.ndarray:
        """The same of its gradient in the gate's step t."""
        return self.drawn(self.gradients, k, first, count) * self.factor(t)

    def drawn(self, numbers: np.ndarray, k: int, first: int, count: int) -> np.ndarray:
        begin = (self.starts[k] + first) % PERIOD
        found = numbers[begin : begin + count]
        if len(found) < count:
            found = np.concatenate([found, np.resize(numbers, count - len(found))])
        return found

    def host(self) -> list[np.ndarray]:
        """Copies of the parameters in the host's memory."""
        self.memory.wait()
        if self.copies:
            return [p.copy() for p in self.cut(self.copies.parameters)]
        return [self.memory.download(p) for p in self.params]


def repeat(block: Any, numbers: Any) -> None:
    """Fill a block with the numbers, again and again."""
    for start in range(0, len(block), PERIOD):
        end = min(start + PERIOD, len(block))
        block[start:end] = numbers[: end - start]


class Host:
    """NumPy arrays."""

    device = staticmethod(contextlib.nullcontext)
    l2 = 0  # bytes of a GPU's second-level cache

    def empty(self, length: int, dtype: np.dtype) -> np.ndarray:
        raw = np.empty(length * dtype.itemsize + ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        return raw[start : start + length * dtype.itemsize].view(dtype)

    def upload(self, array: np.ndarray) -> np.ndarray:
        return array

    def download(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def wait(self) -> None:
        pass


def memory_for(problem: Problem) -> Any:
    """How arrays are made where the problem lies. InputError if CuPy cannot make them."""
    if not problem.on_gpu:
        return Host()
    reason = backends.unavailable("cupy")
    if reason:
        raise InputError(f"measuring on {problem.device} needs CuPy: {reason}")
    from gpuopt.bench.place_gpu import CupyMemory, TorchMemory

    kind = TorchMemory if problem.dtype == "bfloat16" else CupyMemory
    return kind(problem.index)


def copies_for(place: Place) -> Any:
    """The copies that belong to a step; None for a problem without."""
    if not place.problem.copies:
        return None
    from gpuopt.bench.place_gpu import Copies

    return Copies(place)
