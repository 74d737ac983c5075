"""How many steps were taken: by the optimizer, and by each parameter."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Counts:
    """Steps of the optimizer, and of each parameter: those in which it had a gradient.

    On a GPU that may skip steps, or replays them from a graph, these are the host's guess until
    `Plan.settle` has read what was really done.
    """

    steps: np.ndarray
    taken: int = 0

    def advance(self, active: slice | np.ndarray) -> None:
        self.steps[active] += 1
        self.taken += 1
