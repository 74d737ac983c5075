"""The parity gate: whoever does not take the same steps as gpuopt is not timed."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import numpy as np

from gpuopt.bench.candidates import Candidate
from gpuopt.bench.place import Place
from gpuopt.bench.problem import Problem

EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
PIECE = 1_000_000  # elements that are compared at a time
SAMPLE = 1000  # elements at each tensor's start and end that are compared with the formula
STEPS = {"RAdam": 7}  # it is Momentum for five steps; two of all others, their gradients differ


class Mismatch(Exception):
    """Some candidates did not take the steps that they were to take.

    failed: why, by candidate; these must not be timed. differences: of all the others, which may
    be timed: they have been checked, and share their memory.
    """

    def __init__(self, failed: dict[str, str], differences: dict[str, float]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in failed.items()))
        self.failed, self.differences = failed, differences


class Difference(Exception):
    """A candidate took other steps; the message says where and how."""


def gate(problem: Problem, made: Sequence[Candidate]) -> dict[str, float]:
    """A few steps of each candidate from the same start, with gradients of both signs.

    The first candidate's are compared with the rule's formula in float64, at the ends of each
    tensor; then all elements of the others with the first one's, if they have a tolerance. Returns
    the largest difference of each of these others, and has all share their memory, as before the
    first step. To be called once. Raises Mismatch, when all have been tried, if one was further off
    than its tolerance, or raised an error.
    """
    differences: dict[str, float] = {}
    failed: dict[str, str] = {}
    reference: list[np.ndarray] = []
    for candidate in made:
        try:
            found = first_steps(candidate, STEPS.get(problem.rule, 2))
            if candidate.tolerance is None:
                pass
            elif not reference:
                check_formula(candidate, found)
                reference = found
            else:
                differences[candidate.name] = largest(candidate, reference, found)
            if candidate.share:
                candidate.share()
        except Difference as error:
            failed[candidate.name] = str(error)
        except Exception as error:  # a peer that raises is as wrong as one that differs
            differences.pop(candidate.name, None)
            failed[candidate.name] = f"{type(error).__name__}: {error}"
    if made:
        made[0].place.settle()
    for candidate in made:
        if candidate.take and candidate.name not in failed:
            candidate.take(True)
    if failed:
        raise Mismatch(failed, differences)
    return differences


def first_steps(candidate: Candidate, count: int) -> list[np.ndarray]:
    """Its parameters after so many steps."""
    for t in range(1, count + 1):
        if t == 1:
            candidate.place.restart()
        candidate.place.give(t)
        if candidate.take:
            candidate.take(t == 1)
        candidate.step()
    return candidate.params()


def check_formula(candidate: Candidate, found: list[np.ndarray]) -> None:
    """Difference if the first or last elements of a tensor are not what the rule says."""
    place = candidate.place
    for k, array in enumerate(found):
        flat = array.reshape(-1)
        for first in {0, max(0, flat.size - SAMPLE)}:
            b = flat[first : first + SAMPLE].astype(np.float64)
            start = place.start(k, first, b.size).astype(np.float64)
            compare(candidate, k, start, formula(place, k, first, start), b)


def formula(place: Place, k: int, first: int, p: np.ndarray) -> np.ndarray:
    """Elements of parameter k from `first` on, after the gate's steps in float64."""
    rule, problem = place.rule, place.problem
    state = [np.full_like(p, rule.initial.get(name, 0.0)) for name in rule.state]
    carried = dict(rule.carried)
    for t in range(1, STEPS.get(problem.rule, 2) + 1):
        g = place.gradient(t, k, first, p.size).astype(np.float64)
        scalars = SimpleNamespace(**rule.scalars(problem.settings["lr"], t, **carried))
        new = rule.update(p, g, *state, scalars)
        p, *state = new if isinstance(new, tuple) else (new,)
        carried = {name: getattr(scalars, name) for name in carried}
    return p


def largest(candidate: Candidate, reference: list[np.ndarray], found: list[np.ndarray]) -> float:
    """The largest difference of any element; Difference if one is too large."""
    worst = 0.0
    for k, (ours, theirs) in enumerate(zip(reference, found, strict=True)):
        for first, a, b in pieces(ours, theirs):
            start = candidate.place.start(k, first, a.size).astype(np.float64)
            worst = max(worst, compare(candidate, k, start, a, b))
    return worst


def pieces(*arrays: np.ndarray) -> Iterator[tuple]:
    """Pieces of arrays of one size, each with the number of its first element, in float64."""
    for first in range(0, arrays[0].size, PIECE):
        yield first, *(a.reshape(-1)[first : first + PIECE].astype(np.float64) for a in arrays)


def compare(candidate: Candidate, k: int, start: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of b from a. Difference beyond the candidate's tolerance of the
    way from `start` to a, and what steps round: half a unit each for decay and step, on each side.
    """
    problem = candidate.place.problem
    rounding = 2 * STEPS.get(problem.rule, 2) * EPS[problem.dtype]
    error, far = np.abs(a - b), np.maximum(np.abs(a), np.abs(start))
    wrong = ~(error <= (candidate.tolerance or 0.0) * np.abs(a - start) + rounding * far)
    if wrong.any():
        at = int(wrong.argmax())
        raise Difference(
            f"{wrong.sum()} of {wrong.size} elements of parameter {k} took another step; one went "
            f"from {start[at]:.9g} to {b[at]:.9g}, expected {a[at]:.9g}"
        )
    return float(error.max(initial=0.0))
