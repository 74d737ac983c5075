"""A whole benchmark: a trial, the rows one after the other, and what stops it."""

import gc
import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from gpuopt.bench.crossover import crossovers
from gpuopt.bench.loss import SECONDS as LOSS_SECONDS
from gpuopt.bench.loss import loss_against_time
from gpuopt.bench.machine import machine
from gpuopt.bench.peers import unavailable
from gpuopt.bench.problem import Problem
from gpuopt.bench.row import measure
from gpuopt.bench.rows import Places, case, fitting, places, problems
from gpuopt.bench.settings import Settings
from gpuopt.bench.timetable import QUICK_IN_ALL, Timetable, Trial, trial
from gpuopt.errors import InputError

# Called with what is done now ("a row | a part of it"), how much of all is done (0 to 1), and the
# seconds that all was guessed to take (0: nobody knows).
Advance = Callable[[str, float, float], object]
QUICK_FOR_OPTAX = 50  # tensors: jax compiles each one of them, which may take longer than all else
QUICK_COMPILING = 3.0  # seconds of a rule: beyond, no cache has it, nor gpuopt.thinc's formula
TOO_LONG = "--quick: compiling it would take too long"


def run(settings: Settings, advance: Advance) -> dict[str, Any]:
    """Measure, and return results as gpuopt.bench.results describes them.

    InputError, before anything is timed, for what was asked for and cannot run or does not fit. An
    error within a row is among the "failures", and the other rows go on. KeyboardInterrupt ends it:
    "interrupted" is true, and what was measured is there.
    """
    start = time.perf_counter()
    found: dict[str, Any] = {"command": "bench", "rows": [], "skipped": [], "failures": []}
    where = places(settings)
    wanted = problems(settings, list(where))
    wanted, found["skipped"] = fitting(wanted, bool(settings.peers), settings.sizes is not None)
    if settings.copies and set(where) == {"cpu"}:
        skip(found, "--copies", "they are to and from a GPU, and none is measured")
    try:
        if wanted:
            advance("a short trial", 0.0, 0.0)
            tried = trial(wanted[0], where[wanted[0].device], settings.peers)
            run_rows(settings, where, wanted, tried, start, found, advance)
        if settings.loss:
            add_loss(settings, where, start, found, advance)
    except KeyboardInterrupt:
        found["interrupted"] = True
    kinds = {f"{row['rule']} {row['dtype']}" for row in found["rows"]}
    found["skipped"] = once_each(found["skipped"], kinds)
    found["crossover"] = crossovers(found["rows"])
    found["seconds"] = time.perf_counter() - start
    return {"machine": machine(), **found}


def run_rows(
    settings: Settings,
    where: Places,
    wanted: Sequence[Problem],
    tried: Trial,
    start: float,
    found: dict[str, Any],
    advance: Advance,
) -> None:
    """Measure the rows, each into `found` when it is done."""
    reserved = LOSS_SECONDS * settings.loss
    quick, repeat = settings.quick, settings.repeat
    table = Timetable(wanted, tried, quick=quick, repeat=repeat, reserved=reserved, start=start)
    guesses, total = table.guesses(), table.total()
    for k, problem in enumerate(wanted):
        name = f"{k + 1} of {len(wanted)}: {case(problem)}"
        done = sum(guesses[:k]) / (sum(guesses) + reserved)
        pace = table.pace(k)
        if pace is None:
            why = f"--quick: {QUICK_IN_ALL:g} s would have been over before its end"
            skip(found, case(problem), why)
            continue

        def say(what: str, name: str = name, done: float = done) -> None:
            advance(f"{name} | {what}", done, total)

        slow = too_slow(problem, tried) if quick else {}
        peers = [name for name in settings.peers if name not in slow]
        for name, what in slow.items():
            if name in settings.peers and not unavailable(name, problem.on_gpu):
                skip(found, what, TOO_LONG)
        try:
            measured = measure(problem, where[problem.device], peers, pace, say)
            found["rows"] += [measured.row] if measured.row else []
            found["skipped"] += measured.skipped
            found["failures"] += measured.failures
        except Exception as error:  # the other rows are still worth measuring
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            found["failures"].append({"case": case(problem), "error": what})
        free_memory(problem)


def too_slow(problem: Problem, tried: Trial) -> dict[str, str]:
    """The peers that take too long for --quick to compile, and what is left out then."""
    slow = {"optax": f"optax ({problem.list})"} if len(problem.shapes) > QUICK_FOR_OPTAX else {}
    return slow | ({"gpuopt.thinc": "gpuopt.thinc"} if tried.compiling > QUICK_COMPILING else {})


def add_loss(
    settings: Settings, where: Places, start: float, found: dict[str, Any], advance: Advance
) -> None:
    """Train as `loss_against_time` does, if there is time and the digits are there."""
    what = "loss against time"
    if settings.quick and time.perf_counter() - start > QUICK_IN_ALL:
        skip(found, what, f"--quick: {QUICK_IN_ALL:g} s were over")
        return
    advance(what, 1.0, 0.0)
    try:
        found["loss"] = loss_against_time(where, settings.seed)
    except InputError as error:
        skip(found, what, str(error))


def once_each(skipped: list[dict[str, str]], kinds: set[str]) -> list[dict[str, str]]:
    """What was skipped and why, each once; with the rules and dtypes, if not for all of them."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in skipped:
        said = reasons.setdefault((entry["what"], entry["why"]), [])
        said += [entry["kind"]] if "kind" in entry and entry["kind"] not in said else []
    return [
        {"what": f"{what} ({', '.join(said)})" if 0 < len(said) < len(kinds) else what, "why": why}
        for (what, why), said in reasons.items()
    ]


def skip(found: dict[str, Any], what: str, why: str) -> None:
    found["skipped"].append({"what": what, "why": why})


def free_memory(problem: Problem) -> None:
    gc.collect()
    if problem.on_gpu:
        importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()
