"""What a step needs at another batch size: every event of a trace fitted, then replayed.

The peak itself is no straight line: it is a maximum of several, and which event it falls on moves
with the batch. The size of each allocation is one, size = a + b batch, or where examples meet each
other a parabola; so the events are fitted and the peak is what a replay of them finds.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.memory.events import REST, Block, Trace
from gpuopt.memory.pool import AnyPool

ROUNDING = 8  # bytes that a block may be off its line or parabola
MOST = 2.0**48  # bytes of a block: more than any machine has, and sums of them are integers


@dataclass(frozen=True)
class Peak:
    """The moment of a replay at which most is taken.

    bytes: more than before the run. in_use: of them, what arrays take. live: the same by role.
    block: the allocation that reached it, or None where nothing is allocated.
    """

    bytes: int
    in_use: int
    live: dict[str, int]
    block: Block | None


class Model:
    """The size of each block as a line through two traces, or where a third is off it a parabola
    through three."""

    def __init__(self, traces: Sequence[Trace]) -> None:
        self.last = traces[-1]
        self.batches = [trace.batch for trace in traces]
        self.table = divided_differences(self.batches, [trace.sizes for trace in traces])
        self.bent = np.zeros(len(self.last.blocks), bool)
        if len(traces) > 2:
            last = self.table.pop()
            self.bent = self.off(traces[2])
            self.table.append(np.where(self.bent, last, 0.0))

    def sizes(self, batch: int) -> np.ndarray:
        """The bytes of each block."""
        factors = itertools.accumulate((batch - b for b in self.batches), np.multiply, initial=1.0)
        found = sum(factor * row for factor, row in zip(factors, self.table, strict=False))
        return np.clip(np.rint(found), 0, MOST).astype(np.int64)

    @property
    def slopes(self) -> np.ndarray:
        """Bytes of each block that an example adds."""
        return self.table[1]

    def off(self, trace: Trace) -> np.ndarray:
        """Which blocks of another trace are not of the size that they should be."""
        return np.abs(trace.sizes - self.sizes(trace.batch)) > ROUNDING

    def confirm(self, trace: Trace) -> tuple[float, Block]:
        """Take the blocks that are off their parabolas for lines: those whose sizes are a matter of
        chance. The block that is then furthest from its size, and how far: the difference over the
        trace's peak."""
        self.table[-1][self.off(trace) | (self.table[-1] < 0)] = 0.0
        difference = np.abs(trace.sizes - self.sizes(trace.batch))
        k = int(difference.argmax())
        peak = running(trace.order, trace.sizes).max(initial=1)
        return float(difference[k] / peak), trace.blocks[k]

    def peak(self, batch: int, pool: AnyPool | None = None) -> Peak:
        """The most that a run at `batch` takes at once, in arrays, or in the segments of a `pool`.

        Raises PoolFull where the pool has a limit that does not do.
        """
        order, blocks, sizes = self.last.order, self.last.blocks, self.sizes(batch)
        taken = running(order, sizes) if pool is None else replayed(pool, order, sizes)
        at = int(taken.argmax()) if len(taken) and taken.max() > 0 else -1
        live: dict[str, int] = {}
        for event in order[: at + 1]:
            k, sign = (event, 1) if event >= 0 else (~event, -1)
            live[blocks[k].role] = live.get(blocks[k].role, 0) + sign * int(sizes[k])
        if at < 0:
            return Peak(0, 0, live, None)
        return Peak(int(taken[at]), sum(live.values()), live, blocks[order[at]])

    def growth(self, batch: int) -> tuple[int, str]:
        """How many bytes more are in use after the second step than after the first, and the line
        of code that most of them come from."""
        sizes, lines = self.sizes(batch), dict[str, int]()
        for event in self.last.order[slice(*self.last.steps)]:
            k, sign = (event, 1) if event >= 0 else (~event, -1)
            line = self.last.blocks[k].where
            lines[line] = lines.get(line, 0) + sign * int(sizes[k])
        return sum(lines.values()), max(lines, key=lambda line: lines[line], default="")


def divided_differences(at: Sequence[int], values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Newton's coefficients of the polynomial through `values` at `at`, for each column."""
    table, column = [values[0]], list(values)
    for k in range(1, len(at)):
        column = [
            (high - low) / (at[i + k] - at[i])
            for i, (low, high) in enumerate(itertools.pairwise(column))
        ]
        table.append(column[0])
    return table


def as_one_block(trace: Trace) -> Trace:
    """A trace of nothing but the peak of another."""
    totals = running(trace.order, trace.sizes)
    at = int(totals.argmax()) if len(totals) else 0
    line = trace.blocks[trace.order[at]].where if len(totals) else ""
    return Trace(trace.batch, [Block(int(totals.max(initial=0)), line, REST)], [0], [1, 1])


def running(order: Sequence[int], sizes: np.ndarray) -> np.ndarray:
    """Bytes in use after each event, above those at the beginning."""
    events = np.asarray(order, np.int64)
    return np.cumsum(np.where(events >= 0, sizes[events], -sizes[~events]))


def replayed(pool: AnyPool, order: Sequence[int], sizes: np.ndarray) -> np.ndarray:
    """Bytes that the pool has taken after each event."""
    chunks, taken = dict[int, Any](), []
    for event in order:
        if event >= 0:
            chunks[event] = pool.malloc(int(sizes[event]))
        else:
            pool.free(chunks.pop(~event))
        taken.append(pool.total)
    return np.array(taken, np.int64)
