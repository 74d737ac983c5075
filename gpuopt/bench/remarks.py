"""What the tables of a benchmark do not say: the crossover, what is to be known, who is missing."""

from collections.abc import Iterator
from typing import Any

from gpuopt.memory.units import size as words


def remarks(found: dict[str, Any]) -> Iterator[str]:
    """One line for each thing that the tables do not say."""
    for cross in found["crossover"]:
        copies = " with copies to and from the host" * cross["copies"]
        how = f"{cross['rule']} {cross['dtype']}, one tensor{copies}"
        start = cross["from"]
        said = f"is faster than the CPU from {start:,} parameters on" if start else "never wins"
        yield f"{how}: {cross['device']} {said}"
    if any(row.get("in_l2") for row in found["rows"]):
        size = found["machine"].get("l2_bytes")
        there = f" of {words(size)}" if size else ""
        yield f"in L2: the step's arrays fit in the GPU's cache{there}, so memory does not limit it"
    told = [pair for row in found["rows"] for pair in row.get("remarks", {}).items()]
    parts = [{"what": who, "why": part} for who, all in told for part in all.split("; ")]
    for who, remark in by_reason(parts):
        yield f"{who}: {remark}"
    for who, why in by_reason(found["skipped"]):
        yield f"NOT MEASURED: {who}: {why}"
    if found.get("interrupted"):
        yield "INTERRUPTED: this is what had been measured by then"


def by_reason(skipped: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Who was skipped, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for entry in skipped:
        reasons.setdefault(entry["why"], []).append(entry["what"])
    return [(", ".join(dict.fromkeys(names)), why) for why, names in reasons.items()]
