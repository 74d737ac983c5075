"""`gpuopt selftest`: every rule on every backend that runs here, and loudly which do not."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Exit, Option

from gpuopt.commands.output import check_writable, write_json
from gpuopt.errors import InputError


def selftest(
    seed: Annotated[int, Option(help="Fixes the numbers tried.")] = 0,
    json: Annotated[Path | None, Option(metavar="FILE", help="Write every error as JSON.")] = None,
) -> None:
    """Check every rule on every backend against a float64 run of its formula.

    Exit code 0 if all pass, 1 if not. The first run compiles every formula, which takes a minute.
    """
    from rich.console import Console

    from gpuopt import backends, info
    from gpuopt import selftest as tests

    if seed < 0:
        raise InputError(f"--seed {seed}: must be at least 0")
    check_writable("--json", json)
    reasons = {name: backends.unavailable(name) for name in (*backends.GPU, *backends.CPU)}
    names = [name for name, why in reasons.items() if why is None]
    console, status = Console(highlight=False, markup=False), Console(stderr=True)
    outcomes = []
    with status.status("checking") as bar:

        def advance(label: str) -> None:
            if sys.stderr.isatty():
                bar.update(f"checking {label}")

        outcomes = list(tests.run(names, seed, advance=advance))
    print(f"Largest error after {tests.STEPS} steps in ulps, units of the last place:", end=" ")
    print(f"at most {tests.TOLERANCE:g} may be.")
    console.print(table(outcomes, names))
    for outcome in outcomes:
        if outcome.reason is not None:
            print(f"{outcome.rule} on {outcome.backend}, {outcome.dtype}: {outcome.reason}")
    for name, why in reasons.items():
        if why is not None:
            print(f"NOT TESTED: {name}: {why}")
    failed = [outcome for outcome in outcomes if not outcome.passed]
    print(
        f"{len(failed)} of {len(outcomes)} checks failed"
        if failed
        else f"all {len(outcomes)} checks passed on {', '.join(names)}"
    )
    write_json(json, as_json(outcomes, reasons, seed, info.versions()))
    raise Exit(1 if failed or not outcomes else 0)


def table(outcomes, names):
    """Rules by backends and types; the largest error in ulps."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from gpuopt.selftest import DTYPES

    found = Table(
        header_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    found.add_column("rule")
    columns = [(name, dtype) for name in names for dtype in DTYPES]
    for name, dtype in columns:
        found.add_column(f"{name}\n{dtype}", justify="right")
    for rule in dict.fromkeys(outcome.rule for outcome in outcomes):
        cells = {(o.backend, o.dtype): o for o in outcomes if o.rule == rule}
        found.add_row(rule, *(cell(cells[column]) for column in columns))
    return found


def cell(outcome) -> str:
    if outcome.passed:
        return f"{outcome.error:.1f}"
    return "FAILED" if outcome.reason else f"FAILED {outcome.error:.2g}"


def as_json(outcomes, reasons, seed, versions):
    return {
        "command": "selftest",
        "versions": versions,
        "seed": seed,
        "passed": bool(outcomes) and all(outcome.passed for outcome in outcomes),
        "not_tested": {name: why for name, why in reasons.items() if why is not None},
        "checks": [
            {
                "rule": o.rule,
                "backend": o.backend,
                "dtype": o.dtype,
                "error_ulps": o.error if o.error < float("inf") else None,
                "passed": o.passed,
                "reason": o.reason,
            }
            for o in outcomes
        ],
    }
