"""Results of measurements: JSON files of rows, and each row's share of its own limit.

A file is {"command": "bench", "machine": {...}, "rows": [row, ...], "skipped": [{"what", "why"}],
"failures": [{"case", "error"}]}, and a row

    case, rule, list, dtype, device      what was measured, in words; "cpu" or "cuda:0"
    parameters, tensors                  how many
    copies                               whether gradients and parameters crossed to the host
    clock                                "wall" or "events"
    bytes                                what the fused step reads and writes
    in_l2                                whether its arrays fit in a GPU's second-level cache
    times                                by candidate: median, q1, q3, noise (q3 - q1 over the
                                         median), count; limits are candidates named "limit, ..."
    largest_difference                   by candidate, from gpuopt's own
    host_us, launches                    by candidate, where measured
    temporary_bytes                      by candidate, where they are seen: bench/temporaries.py

Seconds, where the name does not say otherwise. Rows of the folder bench/ have a case and times, and
"against", "ratio" and "reach".
"""

import json
import math
from pathlib import Path
from typing import Any

from gpuopt.bench.clock import NOISY
from gpuopt.errors import InputError
from gpuopt.replacing import replacing

Row = dict[str, Any]
EXPECTED = "a file that `gpuopt bench --json` wrote"
# With 8-bit state, or gradients that are copied and zeroed: the row's bytes are not theirs.
OTHER_BYTES = ("bitsandbytes", "torchao", "gpuopt.thinc", "Thinc")
NUMBERS = ("median", "q1", "q3", "noise")  # of a candidate's times


class AboveLimit(ValueError):
    """A step moved its bytes faster than the machine can: the clock, or the bytes, are wrong."""


def limit(row: Row) -> dict[str, float] | None:
    """The best limit that was timed beside a row's candidates; None where there is none."""
    found = [times for name, times in row["times"].items() if name.startswith("limit")]
    return min(found, key=lambda times: times["median"], default=None)


def gb_per_s(row: Row, candidate: str) -> float:
    """The fused step's bytes over a candidate's time, whatever more the candidate itself moves."""
    return row["bytes"] / row["times"][candidate]["median"] / 1e9


def percent_of_limit(row: Row, candidate: str) -> float | None:
    """The measured limit's time over a candidate's, in percent.

    None where no limit was measured, for candidates that move other bytes than the row's, and where
    it cannot be told: above 100 %, within the noise of both and 5 %. Raises AboveLimit beyond that.
    """
    if not has_limit(row, candidate):
        return None
    best, own = limit(row), row["times"][candidate]
    assert best is not None
    share = best["median"] / own["median"]
    noise = max(NOISY, best["noise"], own["noise"])
    if share > 1 + noise:
        raise AboveLimit(
            f"{row['case']}: {candidate} ran at {share:.0%} of the limit measured beside "
            f"it, beyond the noise of {noise:.0%}; the clock or the count of bytes is wrong"
        )
    return 100 * share if share <= 1 else None


def said_of_limit(row: Row, candidate: str) -> str:
    """`percent_of_limit` in words: "97 %", "cannot tell", or "" where no limit was measured."""
    percent = percent_of_limit(row, candidate)
    if percent is not None:
        return f"{percent:.0f} %"
    return "cannot tell" if has_limit(row, candidate) else ""


def has_limit(row: Row, candidate: str) -> bool:
    """Whether a limit was timed that is this candidate's."""
    if candidate not in row["times"] or candidate.startswith(OTHER_BYTES):
        return False
    return limit(row) is not None


def refused(results: dict[str, Any]) -> dict[str, Any]:
    """The results without the rows in which a candidate is above the limit; `failures` says so."""
    rows, failures = [], list(results.get("failures", []))
    for row in results["rows"]:
        try:
            for candidate in row["times"]:
                percent_of_limit(row, candidate)
            rows.append(row)
        except AboveLimit as error:
            failures.append({"case": row["case"], "error": f"not published: {error}"})
    return {**results, "rows": rows, "failures": failures}


def save(path: Path, results: dict[str, Any]) -> None:
    """Write the results, without rows that are above their limit. Raises OSError."""
    with replacing(path) as new:
        new.write_text(json.dumps(refused(results), indent=1) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Read results. Raises InputError for a file that cannot be read or holds no results."""
    try:
        results = json.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}; expected {EXPECTED}") from None
    problem = wrong(results)
    if problem:
        raise InputError(f"{path} {problem}; expected {EXPECTED}")
    return results


def wrong(results: Any) -> str:
    """What keeps a value from being results; "" for nothing."""
    if not isinstance(results, dict) or not isinstance(results.get("rows"), list):
        return 'has no list of "rows"'
    if not isinstance(results.get("machine"), dict):
        return 'does not say its "machine"'
    for k, row in enumerate(results["rows"]):
        if not isinstance(row, dict) or not isinstance(row.get("case"), str):
            return f'has a row without "case": rows[{k}]'
        if not isinstance(row.get("times"), dict):
            return f'has a row without "times": rows[{k}], {row["case"]}'
        for name, times in row["times"].items():
            if not isinstance(times, dict) or not all(sound(times, x) for x in NUMBERS):
                wanted = ", ".join(NUMBERS)
                return f"has times without {wanted}: rows[{k}], {row['case']}, {name}"
    return ""


def sound(times: dict[str, Any], name: str) -> bool:
    value = times.get(name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value >= 0 if name == "noise" else value > 0
