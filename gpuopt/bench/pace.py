"""How many rounds and steps: as many as there is time for, and never too few for quartiles."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpuopt.bench.clock import LEAST, SETTLE

TURN = 0.1  # seconds that the counted steps of all candidates of a row take in a round, if short
MOST_EACH = 200  # steps of a candidate in a turn
ROUNDS = 10  # of a row, if there is time


@dataclass(frozen=True)
class Pace:
    """seconds: for all rounds of a row, the uncounted first one among them. repeat: rounds that the
    user asked for, or None. settle: seconds that a candidate runs untimed in every turn."""

    seconds: float
    repeat: int | None = None
    settle: float = SETTLE

    def turns(self, steps: Sequence[float]) -> tuple[int, int]:
        """How many rounds, and how many steps of each candidate in a turn, if one step of each
        takes so many seconds."""
        each = max(1, min(MOST_EACH, int(TURN / sum(steps))))
        round_ = sum(max(self.settle, t) + each * t for t in steps)
        rounds = self.repeat or max(LEAST, min(ROUNDS, int(self.seconds / round_) - 1))
        return rounds, max(each, -(-LEAST // rounds))


def once(run: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds of one step, waited for; never 0."""
    begin = time.perf_counter()
    run()
    wait()
    return max(time.perf_counter() - begin, 1e-9)
