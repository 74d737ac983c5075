"""How many steps were taken, by the optimizer and by each parameter, and what rules carry along."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

# Counts after a step, worked out before it is taken: `taken`, `together`, and steps if they differ.
Taken = tuple[int, int | None, np.ndarray | None]


class Counts:
    """Steps of the optimizer, and of each parameter: those in which it had a gradient. For every
    number that the rule carries, its value for each parameter, in float64. And the gradients' norm
    in the last step.

    On a GPU that may skip steps, or replays them from a graph, these are the host's guess until
    `Plan.settle` has read what was really done.
    """

    def __init__(self, first: Sequence[Mapping[str, float]]) -> None:
        """Before the first step; `first` is what each parameter's rule carries then."""
        names = {name: None for numbers in first for name in numbers}
        self.carried = {name: np.array([x.get(name, np.nan) for x in first]) for name in names}
        self.taken = 0
        self.together: int | None = 0  # steps of each parameter, while all have taken as many
        self._steps = np.zeros(len(first), np.int64)  # else these
        self.norm: float | Callable[[], float] | None = None  # None: not measured

    @property
    def steps(self) -> np.ndarray:
        """int64 (parameters,), as they are now, to be read; `put` changes them."""
        view = self._written().view()
        view.flags.writeable = False
        return view

    def put(self, at: int | slice | Sequence[int] | np.ndarray, steps: Any) -> None:
        """Set the steps that some parameters have taken."""
        now = self._written()
        now[at] = steps
        self.together = now.item(0) if now.size and (now == now[0]).all() else None

    def _written(self) -> np.ndarray:
        if self.together is not None:
            self._steps.fill(self.together)
        return self._steps

    def steps_of(self, param: int) -> int:
        return self._steps.item(param) if self.together is None else self.together

    def carried_by(self, param: int) -> dict[str, float]:
        """The carried numbers of a parameter, as its last step left them."""
        return {name: float(values[param]) for name, values in self.carried.items()}

    def after(self, active: slice | np.ndarray) -> Taken:
        """The counts after a step of some parameters (a slice: of all)."""
        if self.together is not None and isinstance(active, slice):
            return self.taken + 1, self.together + 1, None
        steps = self._written().copy()
        steps[active] += 1
        return self.taken + 1, None, steps

    def take(self, after: Taken) -> None:
        """Go on to these counts. May be repeated: it sets them, and adds nothing."""
        taken, together, steps = after
        if steps is not None:
            self._steps = steps
        self.taken, self.together = taken, together
