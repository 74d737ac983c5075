"""How sure a median is, and what two of them tell about a change.

A median's standard error is 1.2533 s / sqrt(n), s being the normal deviation with the quartiles
that were found, (q3 - q1) / 1.349: the notches of McGill, Tukey and Larsen, "Variations of box
plots", The American Statistician 32 (1978). As a share of the median it is that of its logarithm,
and those of independent medians add as squares; 1.96 of them are 95 %.

A change is judged by where its interval lies relative to a margin within which two runs of the same
code differ: wholly beyond it, wholly within it, or neither (Kruschke's region of practical
equivalence, "Rejecting or accepting parameter values", AMPPS 1 (2018)).

Quartiles know nothing of what disturbs a run as a whole. The references do: nobody changed their
code, so as far as their times changed unlike each other, gpuopt's may have changed as well.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

Verdict = Literal["faster", "slower", "the same", "cannot tell"]
Times = dict[str, float]

MARGIN = 0.03  # of a ratio: less is not called a change, whatever the interval
FEWEST = 7  # times behind a summary that does not say how many: the fewest that bench/ takes
MOST = 20  # as many count at most: those of one turn are alike, and there are about 20 turns
SIGMAS = 1.96
BETWEEN_RUNS = (
    0.2  # of the logarithm of a time's quotient between two runs, where others work as well
)


@dataclass(frozen=True)
class Change:
    """`ratio` is after over before, so above 1 is slower; 95 % lie from `low` to `high`."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        if self.low > 1 + MARGIN:
            return "slower"
        if self.high < 1 / (1 + MARGIN):
            return "faster"
        within = self.low >= 1 / (1 + MARGIN) and self.high <= 1 + MARGIN
        return "the same" if within else "cannot tell"

    @property
    def contrary(self) -> Verdict | None:
        """The verdict that denies this one."""
        return {"slower": "faster", "faster": "slower"}.get(self.verdict)  # type: ignore[return-value]

    @property
    def width(self) -> float:
        return self.high / self.low

    def widened(self, spread: float) -> "Change":
        """With a standard deviation `spread`, of the ratio's logarithm, added to its errors."""
        factor = math.exp(math.hypot(math.log(self.width) / 2, SIGMAS * spread))
        return replace(self, low=self.ratio / factor, high=self.ratio * factor)


def error(times: Times) -> float:
    """The standard error of a summary's median, as a share of it."""
    count = min(times.get("count", FEWEST), MOST)
    spread = (times["q3"] - times["q1"]) / 1.349
    return 1.2533 * spread / math.sqrt(count) / times["median"]


def change(own: tuple[Times, Times], *references: tuple[Times, Times], scale: float = 1) -> Change:
    """Of a time, before and after; relative to another one that took turns with it, if given.

    scale: by how much more work the reference did after than before.
    """
    ratio = after_over_before(own) * scale
    for reference in references:
        ratio /= after_over_before(reference)
    errors = [error(x) for pair in (own, *references) for x in pair]
    factor = math.exp(SIGMAS * math.hypot(*errors))
    return Change(ratio, ratio / factor, ratio * factor)


def after_over_before(pair: tuple[Times, Times]) -> float:
    return pair[1]["median"] / pair[0]["median"]


def spread(drifts: Iterable[float]) -> float:
    """How unlike each other the references changed: the standard deviation of the logarithms of
    after over before. Whether one alone changed, or the machine, cannot be seen: so it counts as if
    another one had not changed at all."""
    logarithms = [math.log(x) for x in drifts]
    return statistics.stdev(logarithms if len(logarithms) > 1 else [*logarithms, 0.0])


def apart(drift: float, drifts: Iterable[float]) -> float:
    """By which factor, 1 or more, one reference changed unlike the middle one of all."""
    return math.exp(abs(math.log(drift) - statistics.median(map(math.log, drifts))))
