"""The NumPy backend: the formula itself, on arrays, in chunks that stay in cache.

It is the reference for every other backend, runs any formula, and needs nothing but NumPy.
`numpy.nditer` walks arrays of any layout together, hands out blocks, and converts 16-bit storage
to float32 and back.
"""

from collections.abc import Hashable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpuopt.backends.base import Launch, Work, arithmetic
from gpuopt.backends.host import HostBackend, HostLaunch, as_real
from gpuopt.backends.memory import Memory
from gpuopt.lowering.program import LoweringError
from gpuopt.lowering.trace import returned, trace
from gpuopt.rules.base import Rule

BLOCK = 32_768  # elements; docs/decisions.md


class NumpyBackend(HostBackend):
    name = "numpy"
    by_address = False

    def key(self, rule: Rule) -> Hashable:
        try:
            return trace(rule)
        except LoweringError:
            return rule

    def launch(self, work: Work) -> Launch:
        return NumpyLaunch(self, work)


class NumpyLaunch(HostLaunch):
    def __init__(self, backend: NumpyBackend, work: Work) -> None:
        super().__init__(backend, work)
        self.rule = work.rule
        self.tensors: list[list[Any]] = [[as_real(a) for a in arrays] for arrays in work.tensors]
        self.names = tuple(work.rule.scalars(1e-3, 1, **work.rule.carried))
        self.try_formula()

    def try_formula(self) -> None:
        """Run the formula on two elements, so that one that cannot run raises before a step."""
        s = SimpleNamespace(**dict.fromkeys(self.names, self.real.type(0.5)))
        two = read_only(np.ones(2, self.real))
        with np.errstate(all="ignore"):
            arguments = [two] * (2 + len(self.rule.state))
            for value in returned(self.rule, self.rule.update(*arguments, s)):
                np.broadcast_to(value, (2,))

    def move(self, k: int, view: np.ndarray, memory: Memory) -> None:
        self.tensors[k][1] = as_real(view)

    def rest(self) -> None:
        super().rest()
        for arrays in self.tensors:
            arrays[1] = None

    def square_sums(self) -> np.ndarray:
        return np.array(
            [sum_of_squares(block) for arrays in self.tensors for block in blocks_of(arrays[1])]
        ).reshape(-1, 2)

    def run(self, table: np.ndarray) -> None:
        for arrays, row in zip(self.tensors, self.work.rows, strict=True):
            s = SimpleNamespace(**dict(zip(self.names, table[row], strict=True)))
            self.sweep(arrays, s)
            arrays[1] = None  # gradients are not kept alive until the next step

    def sweep(self, arrays: list[np.ndarray], s: SimpleNamespace) -> None:
        arguments = ("p", "g", *self.rule.state)
        access = [["readwrite" if a in self.rule.outputs else "readonly"] for a in arguments]
        blocks = np.nditer(
            arrays,
            flags=["external_loop", "buffered", "zerosize_ok", "delay_bufalloc"],
            op_flags=access,  # type: ignore[arg-type]
            op_dtypes=[self.real] * len(arrays),
            casting="same_kind",
            order="K",
            buffersize=BLOCK,
        )
        with blocks, np.errstate(all="ignore"):
            blocks.reset()
            for block in blocks:
                new = returned(self.rule, self.rule.update(*map(read_only, block), s))
                # A formula may return an argument, such as the old p, in another one's place.
                new = [x if getattr(x, "base", None) is None else x.copy() for x in new]
                targets = dict(zip(arguments, block, strict=True))
                for name, values in zip(self.rule.outputs, new, strict=True):
                    targets[name][...] = values


def blocks_of(array: np.ndarray) -> Iterator[np.ndarray]:
    """An array in blocks of the type of arithmetic, in the order in which it lies."""
    return iter(
        np.nditer(
            array,
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_dtypes=[arithmetic(array.dtype)],
            order="K",
            buffersize=BLOCK,
        )  # type: ignore[arg-type]
    )


def sum_of_squares(block: np.ndarray) -> tuple[float, float]:
    """In the block's own type where that is enough, and how many are not finite."""
    with np.errstate(all="ignore"):
        total = float(np.square(block).sum())
        if np.isfinite(total):
            return total, 0.0
        exact = np.square(block, dtype=np.float64).sum()
        return float(exact), float(np.count_nonzero(~np.isfinite(block)))


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that a formula cannot change in place, as `g += ...` would."""
    view = array.view()
    view.flags.writeable = False
    return view
