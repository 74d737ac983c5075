"""Did it get slower? Two files of results, by what does not depend on the machine's mood.

Within each file, a time of gpuopt's is divided by the row's limit and by those of the peers that
took turns with it, and the quotients of the two files are compared: `gpuopt.bench.intervals` has
the method. A reference that was timed precisely and changed as most of them did decides; the
interval is wider by as much as they changed unlike each other, and seconds that went the other way
make it "cannot tell". Only where the files have no reference in common do the seconds decide, and
then only what is far beyond how runs differ.

Numbers of launches, and files of counts (bench/counts.py), are compared as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gpuopt.bench.differing import MACHINE, Row, by_key, by_what, differences, label
from gpuopt.bench.intervals import BETWEEN_RUNS, Change, Times, Verdict, apart, change, spread
from gpuopt.bench.results import limit

SECONDS = "seconds alone"  # what a time is relative to, where there is nothing else


@dataclass(frozen=True)
class Comparison:
    """What became of one figure. `change` is after over before, above 1 is worse; `low` and `high`
    are its 95 % interval, and None for a count; `against` is what the times were divided by; `why`
    is why it cannot be told, where that is not the interval."""

    case: str
    what: str
    verdict: Verdict
    before: float | None = None
    after: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    against: str = ""
    why: str = ""


def compare(before: Row, after: Row) -> list[Comparison]:
    """Of every figure that both files have. The files as gpuopt.bench.results.load gives them."""
    return [*compared_rows(before, after), *compared_counts(before, after)]


def compared_rows(before: Row, after: Row) -> list[Comparison]:
    rows, others = by_key(before), by_key(after)
    changed = {name for name, _, _ in differences(before, after)}
    found = []
    for key in (key for key in rows if key in others):
        a, b = rows[key], others[key]
        for name in (name for name in ours(a) if name in b["times"]):
            found.append(judged(label(key), name, a, b, changed))
        for name in sorted(launches(a) & launches(b)):
            pair = a["launches"][name], b["launches"][name]
            found.append(counted(label(key), f"launches of {name}", *pair, 0))
    return found


def judged(case: str, name: str, a: Row, b: Row, changed: set[str]) -> Comparison:
    """One of gpuopt's times, in row `a` of the first file and `b` of the second.

    changed: what `differences` names: the peers of another version tell nothing.
    """
    own = a["times"][name], b["times"][name]
    elsewhere = bool(changed & set(MACHINE))
    alone = change(own)
    pair = [t["median"] for t in own]
    beside = references(a, b, changed)
    if beside:
        changes = {x: change(own, pair, scale=more) for x, (pair, more) in beside.items()}
        drifts = {x: alone.ratio / found.ratio for x, found in changes.items()}
        strange = {x: apart(drifts[x], drifts.values()) for x in drifts}
        against = min(changes, key=lambda x: changes[x].width * strange[x] ** 2)
        told, found = changes[against], changes[against].widened(spread(drifts.values()))
        why = doubt(told, found, [*drifts.values()], alone, elsewhere)
        pair = [t / u["median"] for t, u in zip(pair, beside[against][0], strict=True)]
    else:
        against, found = SECONDS, alone.widened(BETWEEN_RUNS)
        why = "" if alone.verdict == found.verdict else f"{alone.verdict}, with nothing beside it"
        why = f"{alone.verdict}, but on another machine" if elsewhere else why
    return Comparison(
        case,
        name,
        "cannot tell" if why else found.verdict,
        *pair,
        change=found.ratio,
        low=found.low,
        high=found.high,
        against=against,
        why=why,
    )


def doubt(
    told: Change, found: Change, drifts: Sequence[float], alone: Change, elsewhere: bool
) -> str:
    """Why a change cannot be told that a reference alone would tell; "" for no reason.

    told: by the reference. found: with an interval as wide as the `drifts` ask for. alone: of the
    seconds. elsewhere: whether on another machine.
    """
    if told.verdict != found.verdict:
        low, high = (f"{100 * (f(drifts) - 1):+.3g}" for f in (min, max))
        by = low if low == high else f"{low} to {high}"
        return f"{told.verdict}, but times beside it changed by {by} %"
    if found.contrary and alone.verdict == found.contrary:
        return f"{found.verdict}, but {alone.verdict} in seconds"
    if found.contrary and elsewhere:
        return f"{found.verdict}, but on another machine"
    return ""


def references(a: Row, b: Row, changed: set[str]) -> dict[str, tuple[tuple[Times, Times], float]]:
    """What was timed beside gpuopt in both rows, and by how much more work it did in the second."""
    found = {
        peer: ((a["times"][peer], b["times"][peer]), 1.0)
        for peer in sorted(peers(a) & peers(b))
        if package(peer) not in changed
    }
    limits = limit(a), limit(b)
    if limits[0] and limits[1]:  # of the bytes that the step moved then, and moves now
        more = b["bytes"] / a["bytes"] if "bytes" in a and "bytes" in b else 1.0
        found["limit"] = (limits[0], limits[1]), more
    return found


def compared_counts(before: Row, after: Row) -> list[Comparison]:
    """A count is compared where the versions that it depends on are the same in both files."""
    found = []
    others = by_what(after)
    changed = {name: (a, b) for name, a, b in differences(before, after)}
    for key, a in by_what(before).items():
        if key not in others:
            continue
        pair = a["count"], others[key]["count"]
        other = [name for name in a.get("depends", ()) if name in changed]
        if other:
            why = ", ".join(f"{x} is {changed[x][1]}, was {changed[x][0]}" for x in other)
            found.append(Comparison(*key, "cannot tell", *pair, why=why))
        else:
            found.append(counted(*key, *pair, a.get("tolerance", 0)))
    return found


def counted(case: str, what: str, before: float, after: float, tolerance: float) -> Comparison:
    """Fewer is better. tolerance: a share of `before` that is no change."""
    verdict: Verdict = "the same"
    if abs(after - before) > tolerance * before:
        verdict = "slower" if after > before else "faster"
    ratio = after / before if before else (1.0 if after == before else None)
    return Comparison(case, what, verdict, before, after, ratio)


def ours(row: Row) -> list[str]:
    return [name for name in row["times"] if name.startswith("gpuopt")]


def peers(row: Row) -> set[str]:
    return {name for name in row["times"] if not name.startswith(("gpuopt", "limit"))}


def launches(row: Row) -> set[str]:
    return {name for name in row.get("launches", {}) if name.startswith("gpuopt")}


def package(peer: str) -> str:
    """Whose version a peer depends on: "torch fused" is torch's, "naive NumPy" numpy's."""
    return peer.removeprefix("naive ").split()[0].lower()
