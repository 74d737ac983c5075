"""How many steps were taken, by the optimizer and by each parameter, and what rules carry along."""

from collections.abc import Mapping, Sequence

import numpy as np


class Counts:
    """Steps of the optimizer, and of each parameter: those in which it had a gradient. And for
    every number that the rule carries, its value for each parameter, in float64.

    On a GPU that may skip steps, or replays them from a graph, these are the host's guess until
    `Plan.settle` has read what was really done.
    """

    def __init__(self, first: Sequence[Mapping[str, float]]) -> None:
        """Before the first step; `first` is what each parameter's rule carries then."""
        names = {name: None for numbers in first for name in numbers}
        self.carried = {name: np.array([x.get(name, np.nan) for x in first]) for name in names}
        self.taken = 0
        self._steps = np.zeros(len(first), np.int64)
        self._ahead = 0  # steps that all have taken and that are not yet in there

    @property
    def steps(self) -> np.ndarray:
        """int64 (parameters,); always the same array."""
        if self._ahead:
            self._steps += self._ahead
            self._ahead = 0
        return self._steps

    def steps_of(self, param: int) -> int:
        return self._steps.item(param) + self._ahead

    def carried_by(self, param: int) -> dict[str, float]:
        """The carried numbers of a parameter, as its last step left them."""
        return {name: float(values[param]) for name, values in self.carried.items()}

    def advance(self, active: slice | np.ndarray) -> None:
        if isinstance(active, slice):  # all of them: a sum of two numbers, and not of arrays
            self._ahead += 1
        else:
            self.steps[active] += 1
        self.taken += 1
