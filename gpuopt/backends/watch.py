"""Whether arrays that belong to the user are still what an optimizer was given."""

import sys
from collections.abc import Sequence
from operator import is_
from typing import Any

import numpy as np

MENDS = (
    "assign to its elements instead (array[...] = values), or call opt.rebind(params) with the "
    "arrays to go on with"
)


class Watch:
    """Arrays, each with its label in messages. Keeps them alive.

    An optimizer writes where they lay when it was made, so they must be the same objects, lie
    there still in the same shape and strides, and be writeable.
    """

    def __init__(self, arrays: Sequence[tuple[str, Any]]) -> None:
        self.labels = [label for label, _ in arrays]
        self.all = [array for _, array in arrays]
        found = [(label, array, lies(array)) for label, array in arrays]
        self.looked_at = [entry for entry in found if entry[2]]

    def check(self, now: tuple[Any, ...] | None) -> None:
        """Raise ValueError, naming the array, for one that has changed. `now`: what the containers
        that held the arrays hold at present; None where that cannot have changed."""
        if now is not None and not all(map(is_, now, self.all)):
            k = [x is y for x, y in zip(now, self.all, strict=True)].index(False)
            raise ValueError(
                f"{self.labels[k]} is another array than the one that the optimizer was made "
                f"with, which it would go on updating; {MENDS}"
            )
        for label, array, before in self.looked_at:
            after = lies(array)
            if after != before:
                raise ValueError(f"{label} {difference(before, after)}")


def lies(array: Any) -> tuple[Any, ...]:
    """Where and how an array lies: address, shape, strides, dtype, and whether it is writeable.
    Nothing for arrays of unknown libraries, which lend their memory for as long as it is used."""
    if isinstance(array, np.ndarray):
        interface = array.__array_interface__
        address, read_only = interface["data"]
        return address, array.shape, array.strides, array.dtype, not read_only
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return array.data_ptr(), tuple(array.shape), array.stride(), array.dtype, True
    return ()


def difference(before: tuple[Any, ...], after: tuple[Any, ...]) -> str:
    """What has changed, and what to do."""
    if before[:4] == after[:4]:
        return (
            "has become read-only since the optimizer was made, so a step could not update it; "
            "make it writeable (array.flags.writeable = True), or call opt.rebind(params) with "
            "other arrays"
        )
    names = ("address", "shape", "strides", "dtype")
    what = [
        f"{name} {old} -> {new}"
        for name, old, new in zip(names, before, after, strict=False)
        if old != new
    ]
    return (
        f"has changed since the optimizer was made ({', '.join(what)}), and a step would write "
        f"where it lay before; {MENDS}"
    )
