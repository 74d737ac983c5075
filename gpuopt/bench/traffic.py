"""What a fused step reads and writes: each array once, counted from the traced formula."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt import rules
from gpuopt.backends.base import state_dtype
from gpuopt.lowering.trace import trace
from gpuopt.rules.base import Rule


@dataclass(frozen=True)
class Traffic:
    """Bytes an element of each array that is read, and of each that is written.

    The arrays that are written come first in both, in the same order: each of them is read too.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes an element, in all."""
        return sum(self.reads) + sum(self.writes)

    @property
    def held(self) -> int:
        """Bytes an element that its arrays take: each of them is read."""
        return sum(self.reads)

    @property
    def name(self) -> str:
        """Such as "4 reads 3 writes"."""
        return f"{len(self.reads)} reads {len(self.writes)} writes"

    def check(self, arrays: Sequence[Any]) -> None:
        """Raise ValueError unless these are such arrays: flat, of one length, of any library."""
        widths = tuple(a.dtype.itemsize for a in arrays)
        if widths != self.reads or len({*(a.shape for a in arrays)}) != 1 or arrays[0].ndim != 1:
            given = ", ".join(f"{a.dtype} of shape {tuple(a.shape)}" for a in arrays)
            raise ValueError(
                f"the limit of {self.name} needs flat arrays of one length whose elements have "
                f"{', '.join(map(str, self.reads))} bytes, got {given}"
            )


def stored(dtype: str) -> np.dtype:
    """NumPy's dtype of such parameters' width: bfloat16 is ml_dtypes', which need not be there."""
    return np.dtype("float16" if dtype == "bfloat16" else dtype)


def traffic(rule: str | Rule, dtype: str = "float32") -> Traffic:
    """The traffic of a step of `rule`, an instance or a name in `gpuopt.rules`.

    State is as wide as the parameters, but float32 for 16-bit ones. What the formula never looks at
    is not read. A global norm reads the gradients once more, which is not counted here.
    """
    program = trace(getattr(rules, rule)() if isinstance(rule, str) else rule)
    kind = stored(dtype)
    width = {name: state_dtype(kind).itemsize for name in program.arrays}
    width |= {"p": kind.itemsize, "g": kind.itemsize}
    written = [name for name, _ in program.results]
    used = {argument for statement in program.statements for argument in statement.args}
    used |= {value for _, value in program.results}
    only_read = [name for name in program.arrays if name in used and name not in written]
    writes = tuple(width[name] for name in written)
    return Traffic(writes + tuple(width[name] for name in only_read), writes)
