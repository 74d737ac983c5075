"""What two files of results have in common, and where they differ but for the figures."""

from typing import Any

from gpuopt.errors import InputError

MACHINE = ("processor", "cores", "gpu", "architecture")
VERSIONS = ("python", "cuda_driver", "cuda_runtime")  # and all in "versions" but gpuopt's own
Row = dict[str, Any]
Key = tuple[Any, ...]


def notes(before: Row, after: Row) -> list[str]:
    """What a reader must know: another machine, other versions, what only one file has."""
    said = [
        f"OTHER {'MACHINE' if name in MACHINE else 'VERSION'}: {name} {a}, then {b}"
        for name, a, b in differences(before, after)
    ]
    return said + unmatched(before, after, "the first file", "the second file")


def unmatched(before: Row, after: Row, first: str, second: str) -> list[str]:
    """What is only in one of the files, which are called `first` and `second`."""
    said = []
    for name, one, other in ((first, before, after), (second, after, before)):
        rows, rest = by_key(one), by_key(other)
        found = [label(key) for key in rows if key not in rest]
        for key in (key for key in rows if key in rest):
            candidates = (x for x in rows[key]["times"] if x not in rest[key]["times"])
            found += [f"{label(key)}: {x}" for x in candidates]
        figures, others = by_what(one), by_what(other)
        found += [": ".join(x) for x in figures if x not in others]
        said += [f"only in {name}: {x}" for x in found]
    return said


def differences(before: Row, after: Row) -> list[tuple[str, Any, Any]]:
    """Name, first and second value of what differs of machine and versions. A version that only
    one of the files gives is no difference."""
    one, other = known(before), known(after)
    return [
        (name, one.get(name), other.get(name))
        for name in dict.fromkeys([*one, *other])
        if name in MACHINE or (name in one and name in other)
        if one.get(name) != other.get(name)
    ]


def known(results: Row) -> dict[str, Any]:
    about = results.get("machine", {})
    versions = {k: v for k, v in about.get("versions", {}).items() if k != "gpuopt"}
    return {k: about[k] for k in (*MACHINE, *VERSIONS) if k in about} | versions


def by_key(results: Row) -> dict[Key, Row]:
    """Rows with times, by what was measured; of several that are the same, the last."""
    return {key_of(row): row for row in results.get("rows", ()) if row.get("times")}


def key_of(row: Row) -> Key:
    """Old rows have neither device nor type nor copies, but two of one case, for two peers."""
    about = [row.get(name) for name in ("case", "device", "dtype", "copies", "clock", "against")]
    return (about[0], about[1] or "cpu", about[2], bool(about[3]), *about[4:])


def label(key: Key) -> str:
    case, device, dtype, copies, clock, against = key
    parts = [case, "" if device == "cpu" else device, "" if not dtype or dtype in case else dtype]
    parts += ["with copies" * copies, f"by {clock}" if clock == "events" else ""]
    return ", ".join(part for part in [*parts, f"against {against}" if against else ""] if part)


def by_what(results: Row) -> dict[tuple[str, str], Row]:
    """Counts by case and what is counted. Raises InputError for what is no count."""
    found = {}
    for k, row in enumerate(results.get("counts", ())):
        sound = isinstance(row, dict) and all(
            isinstance(row.get(name), kind)
            for name, kind in (("case", str), ("what", str), ("count", int | float))
        )
        if not sound:
            raise InputError(
                f'counts[{k}] is {row!r}; expected "case", "what" and a number "count"'
            )
        found[row["case"], row["what"]] = row
    return found
