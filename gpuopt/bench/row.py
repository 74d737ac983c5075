"""One row of a benchmark: who takes part, parity, and the times of all beside the limit."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gpuopt.bench.candidates import Candidate, candidates
from gpuopt.bench.fixed_cost import fixed_cost
from gpuopt.bench.gate import Mismatch, gate
from gpuopt.bench.pace import Pace
from gpuopt.bench.problem import Problem
from gpuopt.bench.results import AboveLimit, Row, percent_of_limit
from gpuopt.bench.rows import case, parameters
from gpuopt.bench.temporaries import temporaries
from gpuopt.bench.timing import Clock, clock_of
from gpuopt.bench.traffic import traffic

LEAST_FOR_A_LIMIT = 2**23  # bytes of a step: below, calling a copy takes longer than copying
OWN = "gpuopt "  # before the name of a backend; gpuopt.torch and gpuopt.thinc are other candidates

Found = list[dict[str, str]]


class Measured(NamedTuple):
    """A row, or None where nothing of gpuopt's could be timed; who was skipped, and what failed."""

    row: Row | None
    skipped: Found
    failures: Found


def measure(
    problem: Problem,
    backends: Sequence[str],
    peers: Sequence[str],
    pace: Pace,
    say: Callable[[str], object],
) -> Measured:
    """Time all candidates, for as long as `pace` says if that is enough for a few rounds.

    say: called with what is being done. Failures of the gate are named and not timed. A row above
    the limit is measured once more, and then is a failure.
    """
    say("making arrays")
    made, left = candidates(problem, backends, peers)
    kind = f"{problem.rule} {problem.dtype}"
    skipped = [{"what": x.what, "why": x.why, "kind": kind} for x in left]
    say("comparing")
    made, differences, failures = through_the_gate(problem, made)
    if not made or not made[0].name.startswith(OWN):
        return Measured(None, skipped, failures)
    clock = clock_of(problem)
    say("timing")
    row = timed(problem, made, clock, pace)
    if above_limit(row):
        say("timing again, for it was above the limit")
        row = timed(problem, made, clock, pace)
    said = above_limit(row)
    if said:
        return Measured(None, skipped, [*failures, {"case": row["case"], "error": said}])
    row["largest_difference"] = differences
    row["remarks"] = {c.name: c.remark for c in made if c.remark}
    names = [name.removeprefix(OWN) for name in row["times"] if name.startswith(OWN)]
    row |= fixed_cost(problem, names, clock.wait)
    row["temporary_bytes"] = temporaries(problem, made)
    return Measured(row, skipped, failures)


def through_the_gate(
    problem: Problem, made: list[Candidate]
) -> tuple[list[Candidate], dict[str, float], Found]:
    """Those who take the same steps as the first, their differences, and the failures."""
    try:
        return made, gate(problem, made), []
    except Mismatch as error:
        failed, failures = error.failed, []
        for name, why in failed.items():
            peer = {} if name.startswith("gpuopt") else {"peer": name}
            failures.append({"case": case(problem), "error": f"{name}: {why}", **peer})
        return [c for c in made if c.name not in failed], error.differences, failures


def timed(problem: Problem, made: list[Candidate], clock: Clock, pace: Pace) -> Row:
    """The row's times; the limit of memory is measured beside them where a step moves enough bytes,
    and these come from there: not if all its arrays stay in a GPU's second-level cache."""
    moved = traffic(problem.rule, problem.dtype)
    bytes = moved.bytes * parameters(problem)
    in_l2 = moved.held * parameters(problem) <= made[0].place.memory.l2
    runs: dict[str, Callable[[], object]] = {c.name: c.step for c in made}
    if bytes >= LEAST_FOR_A_LIMIT and not in_l2 and made[0].arrays is not None:
        whole = [a[: parameters(problem)] for a in made[0].arrays]  # without what aligns tensors
        runs |= clock.limits(moved, whole)
    return {
        "case": case(problem),
        "rule": problem.rule,
        "list": problem.list,
        "dtype": problem.dtype,
        "parameters": parameters(problem),
        "tensors": len(problem.shapes),
        "device": problem.device,
        "copies": problem.copies,
        "bytes": bytes,
        "in_l2": in_l2,
        **clock.times(runs, pace),
    }


def ours(row: Row) -> list[str]:
    """The names of gpuopt's own candidates in a row."""
    return [name for name in row["times"] if name.startswith("gpuopt")]


def above_limit(row: Row) -> str | None:
    """Why a row must not be published, or None."""
    try:
        for name in ours(row):
            percent_of_limit(row, name)
    except AboveLimit as error:
        return str(error)
    return None
