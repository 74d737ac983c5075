"""How long a benchmark takes: guessed from a short trial, and kept to with --quick."""

import dataclasses
import time
from collections.abc import Callable, Sequence

import numpy as np

from gpuopt.bench.candidates import candidates
from gpuopt.bench.clock import LEAST, SETTLE
from gpuopt.bench.pace import ROUNDS, TURN, Pace, once
from gpuopt.bench.problem import Problem
from gpuopt.bench.rows import parameters
from gpuopt.bench.traffic import traffic

SECONDS, QUICK_SECONDS = 20.0, 4.0  # for the rounds of a row
QUICK_SETTLE = 0.025  # seconds; threads of the candidate before spin for up to 20 ms
QUICK_IN_ALL = 45.0  # seconds of --quick, without the start of the process and the charts
PER_TENSOR = 2e-5  # seconds of a peer's step for each tensor
PASSES = 50  # over parameters, to fill, compare (in float64) and hand over a candidate's arrays


@dataclasses.dataclass(frozen=True)
class Trial:
    """compiling: seconds to compile a rule, or to load it. rate: bytes a second of a copy.
    candidates: how many take part."""

    compiling: float
    rate: float
    candidates: int


def trial(problem: Problem, backends: Sequence[str], peers: Sequence[str]) -> Trial:
    """Compile the problem's rule, import the peers, and copy 64 MiB a few times."""
    small = dataclasses.replace(problem, shapes=[(1000,)])
    begin = time.perf_counter()
    for candidate in candidates(small, backends, ())[0]:
        candidate.step()
    compiling = time.perf_counter() - begin
    made, _ = candidates(small, backends, peers)
    source = np.ones(2**26, np.uint8)
    target = source.copy()
    copying = min(once(lambda: np.copyto(target, source), lambda: None) for _ in range(5))
    return Trial(compiling, 2 * source.nbytes / copying, len(made))


class Timetable:
    """Guesses for every row, and the seconds that each may take.

    tried: a trial of the first row's rule. start: when it all began, by `clock`. reserved: seconds
    that are kept for the end.
    """

    def __init__(
        self,
        rows: Sequence[Problem],
        tried: Trial,
        *,
        quick: bool,
        repeat: int | None,
        reserved: float,
        start: float,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.rows, self.tried, self.reserved, self.clock = rows, tried, reserved, clock
        self.repeat = repeat
        self.end = start + (QUICK_IN_ALL if quick else float("inf")) - reserved
        self.a_row = QUICK_SECONDS if quick else SECONDS
        self.settle = QUICK_SETTLE if quick else SETTLE
        self.compiled = {kind(rows[0]): False} if rows else {}  # and whether its limit was measured

    def guesses(self) -> list[float]:
        """Seconds of each row, in turn."""
        known, found = dict(self.compiled), []
        for row in self.rows:
            most = self.rounds(row, self.repeat or ROUNDS)
            timing = most if self.repeat else max(self.rounds(row), min(self.a_row, most))
            found.append(self.fixed(row, known) + timing)
            known[kind(row)] = True
        return found

    def total(self) -> float:
        """Seconds from now on."""
        return min(sum(self.guesses()), self.end - self.clock()) + self.reserved

    def fixed(self, row: Problem, compiled: dict[tuple[str, ...], bool]) -> float:
        """Seconds to compile step and limit, to make the arrays of all and to compare them."""
        parts = 2 - (kind(row) in compiled) - compiled.get(kind(row), False)
        compiling = self.tried.compiling * parts
        passes = PASSES * (self.tried.candidates + 1)
        return compiling + passes * 4 * parameters(row) / self.tried.rate

    def rounds(self, row: Problem, count: int = LEAST) -> float:
        """Seconds of so many rounds and the uncounted first one; half of the candidates go over
        memory twice."""
        moved = traffic(row.rule, row.dtype).bytes * parameters(row)
        step = 2 * moved / self.tried.rate + len(row.shapes) * PER_TENSOR
        turns = self.tried.candidates * (max(self.settle, step) + step)
        return (count + 1) * (turns + TURN)

    def pace(self, k: int) -> Pace | None:
        """The pace of row k, which is measured next; None if there is no time left for it. The
        first row is always measured."""
        left, row = self.end - self.clock(), self.rows[k]
        if k and self.fixed(row, self.compiled) + self.rounds(row) > left:
            return None
        rest = self.rows[k:]
        seconds = (left - sum(self.fixed(r, self.compiled) for r in rest)) / len(rest)
        self.compiled[kind(row)] = True
        return Pace(max(0.0, min(self.a_row, seconds)), self.repeat, self.settle)


def kind(row: Problem) -> tuple[str, ...]:
    """What two rows must share for the second one to need no compiling."""
    return row.rule, row.dtype, row.device
