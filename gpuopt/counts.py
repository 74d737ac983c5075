"""How many steps were taken, by the optimizer and by each parameter, and what rules carry along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class Counts:
    """Steps of the optimizer, and of each parameter: those in which it had a gradient. And for
    every number that the rule carries, its value for each parameter, in float64.

    On a GPU that may skip steps, or replays them from a graph, these are the host's guess until
    `Plan.settle` has read what was really done.
    """

    steps: np.ndarray
    carried: dict[str, np.ndarray]
    taken: int = 0

    @classmethod
    def start(cls, first: Sequence[Mapping[str, float]]) -> "Counts":
        """Before the first step; `first` is what each parameter's rule carries then."""
        names = {name: None for numbers in first for name in numbers}
        carried = {name: np.array([x.get(name, np.nan) for x in first]) for name in names}
        return cls(np.zeros(len(first), np.int64), carried)

    def carried_by(self, param: int) -> dict[str, float]:
        """The carried numbers of a parameter, as its last step left them."""
        return {name: float(values[param]) for name, values in self.carried.items()}

    def advance(self, active: slice | np.ndarray) -> None:
        if isinstance(active, slice):  # all of them; indexing takes four times as long
            self.steps += 1
        else:
            self.steps[active] += 1
        self.taken += 1
