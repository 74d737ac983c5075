"""The NumPy backend: the formula itself, on arrays, in chunks that stay in cache.

It is the reference for every other backend, runs any formula, and needs nothing but NumPy.
`numpy.nditer` walks arrays of any layout together, hands out blocks, and converts 16-bit storage
to float32 and back.
"""

from collections.abc import Iterator
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

    def key(self, rule: Rule) -> tuple[Any, ...]:
        try:
            return (trace(rule),)
        except LoweringError:  # nobody knows what it reads: it shares a launch with itself alone
            return (rule, id(rule))

    def launch(self, work: Work) -> Launch:
        return NumpyLaunch(self, work)


class NumpyLaunch(HostLaunch):
    def __init__(self, backend: NumpyBackend, work: Work) -> None:
        super().__init__(backend, work)
        self.rule = work.rule
        self.tensors: list[list[Any]] = [
            [None if a is None else as_real(a) for a in arrays] for arrays in work.tensors
        ]
        self.names = tuple(work.rule.scalars(1e-3, 1, **work.rule.carried))
        self.rows = list(work.rows)
        self.block: tuple[Any, ...] | None = None  # of this step: the last one worked out
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

    def let_go(self) -> None:
        super().let_go()
        for arrays in self.tensors:
            arrays[1] = None

    def activate(self, rows: np.ndarray) -> None:
        super().activate(rows)
        given = iter(rows.tolist())
        self.rows = [next(given) if yes else None for yes in self.active.tolist()]

    def square_sums(self) -> np.ndarray:
        pairs = zip(self.tensors, self.rows, strict=True)
        grads = [arrays[1] for arrays, row in pairs if row is not None]
        sums = [sum_of_squares(block) for grad in grads for block in blocks_of(grad)]
        return np.array(sums).reshape(-1, 2)

    def begin(self) -> None:
        self.todo = [k for k, row in enumerate(self.rows) if row is not None][::-1]
        self.sweeping: tuple[int, Any] | None = None

    def run(self, table: np.ndarray) -> None:
        while self.todo:
            k = self.todo[-1]
            if self.sweeping is None or self.sweeping[0] != k:
                self.block, self.sweeping = None, (k, self.blocks(k))
            s = SimpleNamespace(**dict(zip(self.names, table[self.rows[k]], strict=True)))
            self.sweep(self.sweeping[1], s)
            self.todo.pop()
        self.sweeping = self.block = None

    def blocks(self, k: int) -> Any:
        """An iterator over the blocks of all arrays of tensor k."""
        arguments = ("p", "g", *self.rule.state)
        access = [["readwrite" if a in self.rule.outputs else "readonly"] for a in arguments]
        return np.nditer(
            self.tensors[k],
            flags=["external_loop", "buffered", "zerosize_ok"],
            op_flags=access,  # type: ignore[arg-type]
            op_dtypes=[self.real] * len(arguments),
            casting="same_kind",
            order="K",
            buffersize=BLOCK,
        )

    def sweep(self, blocks: Any, s: SimpleNamespace) -> None:
        """Update the blocks that are left. What a block's new values are is worked out once: where
        an exception stops the stores, they are repeated."""
        arguments = ("p", "g", *self.rule.state)
        with np.errstate(all="ignore"):
            while not blocks.finished:
                block, at = blocks.value, blocks.iterindex
                if self.block is None or self.block[0] != at:
                    new = returned(self.rule, self.rule.update(*map(read_only, block), s))
                    # a formula may return an argument, such as the old p, in another one's place
                    self.block = at, [x.copy() if is_view(x) else x for x in new]
                targets = dict(zip(arguments, block, strict=True))
                for name, values in zip(self.rule.outputs, self.block[1], strict=True):
                    targets[name][...] = values
                blocks.iternext()


def is_view(x: Any) -> bool:
    return getattr(x, "base", None) is not None


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
