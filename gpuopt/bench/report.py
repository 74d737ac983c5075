"""What was measured, for people: a table for each list."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from gpuopt.bench.clock import NOISY
from gpuopt.bench.results import Row, gb_per_s, said_of_limit
from gpuopt.bench.settings import cut_name, short

EXPLANATION = (
    "GB/s: the bytes that a fused step must read and write. limit: how near that is to the fastest "
    "pass over the same bytes, measured beside it; ?: above it, within the noise. Times are "
    "medians; noise, where above 5 %, is the interquartile range. launches: kernels or sweeps of a "
    "step. host µs: a step of as many tensors of one element. 2x: the peer takes twice as long."
)
FIXED = ("launches", "host µs")  # columns that stand with the ratios where one table is too wide
Lines = list[dict[str, str]]  # of a table: each line's cells by heading


class Line(NamedTuple):
    """One candidate of gpuopt's in a row."""

    row: Row
    name: str

    @property
    def backend(self) -> str:
        return self.name.removeprefix("gpuopt ")

    @property
    def times(self) -> dict[str, float]:
        return self.row["times"][self.name]


def groups(rows: Sequence[Row]) -> dict[str, list[Line]]:
    """The lines of each table by its title; single tensors of all sizes share one."""
    found: dict[str, list[Line]] = {}
    for row in rows:
        where = f"{row['device']}{', with copies to and from the host' * row['copies']}"
        size = f"{row['tensors']} tensors, {row['parameters']:,} parameters"
        title = f"{row['list']}: {size}, {where}"
        if row["tensors"] == 1:
            title = f"one tensor, {where}"
        elif row["list"] == cut_name(row["parameters"], row["tensors"]):
            title = f"equal tensors, {where}"
        own = [name for name in row["times"] if name.startswith("gpuopt")]
        found.setdefault(title, []).extend(Line(row, name) for name in own)
    rules = list(dict.fromkeys(row["rule"] for row in rows))

    def order(line: Line) -> tuple[Any, ...]:
        row = line.row
        return rules.index(row["rule"]), row["dtype"], row["parameters"], row["tensors"]

    return {title: sorted(lines, key=order) for title, lines in found.items()}


def peers(lines: Sequence[Line]) -> list[str]:
    """Who else was timed, in the order of the rows."""
    names = [name for line in lines for name in line.row["times"]]
    return [n for n in dict.fromkeys(names) if not n.startswith(("gpuopt", "limit"))]


def cells(line: Line) -> dict[str, str]:
    """What a table says of a line, by heading."""
    row, seconds = line.row, line.times["median"]
    host, launches = (row.get(key, {}).get(line.name) for key in ("host_us", "launches"))
    noise = line.times["noise"]
    return {
        "rule": row["rule"],
        "dtype": row["dtype"],
        "backend": line.backend,
        "size": short(row["parameters"]),
        "tensors": f"{row['tensors']}",
        "time": readable(seconds),
        "parameters per s": quantity(row["parameters"] / seconds),
        "GB/s": digits(gb_per_s(row, line.name)),
        "limit": said_of_limit(row, line.name).replace("cannot tell", "?")
        or "in L2" * row.get("in_l2", False),
        "launches": "" if launches is None else f"{launches}",
        "host µs": "" if host is None else f"{host:.3g}",
        "noise": f"{noise:.0%}".replace("%", " %") if noise > NOISY else "",
    }


def ratios(line: Line, names: Sequence[str]) -> dict[str, str]:
    """How many times as long each peer takes, by its name."""
    own = line.times["median"]
    found = {name: line.row["times"].get(name) for name in names}
    return {n: times(t["median"] / own) if t else "" for n, t in found.items()}


def tables(rows: Sequence[Row], width: int) -> Iterator[tuple[str, list[Any]]]:
    """For each list a title and a Rich table; several, where `width` columns are too few for one:
    then what a step costs in any case, and the ratios to peers, begin another one."""
    for title, lines in groups(rows).items():
        names = peers(lines)
        who, what = split([cells(x) for x in lines])
        beside = [ratios(x, names) for x in lines]
        whole = pieces(who, [a | b for a, b in zip(what, beside, strict=True)], width)
        if len(whole) > 1:
            here = [{k: text for k, text in c.items() if k not in FIXED} for c in what]
            there = [{k: c[k] for k in FIXED if k in c} for c in what]
            beside = [a | b for a, b in zip(there, beside, strict=True)]
            whole = pieces(who, here, width) + pieces(who, beside, width)
        yield title, whole


def whole(lines: Sequence[Line]) -> Lines:
    """All columns of a list's lines, side by side."""
    names = peers(lines)
    who, what = split([cells(x) for x in lines])
    beside = [ratios(x, names) for x in lines]
    return [a | b | c for a, b, c in zip(who, what, beside, strict=True)]


def pieces(who: Lines, columns: Lines, width: int) -> list[Any]:
    """Tables with as many of the columns, at least one, as `width` has room for."""
    from rich.console import Console

    console, found, taken = Console(width=10_000), [], []
    for heading in columns[0]:
        wider = table(who, [{k: cell[k] for k in (*taken, heading)} for cell in columns])
        if taken and console.measure(wider).maximum > width:
            taken, wider = [], table(who, [{heading: cell[heading]} for cell in columns])
        found[len(found) - bool(taken) :] = [wider]
        taken.append(heading)
    return found


def split(measured: Lines) -> tuple[Lines, Lines]:
    """The columns that say which line it is, as far as it takes to tell them apart, and the
    measured ones that say anything."""
    about = ("dtype", "backend", "size", "tensors")
    telling = ["rule", *(k for k in about if len({cell[k] for cell in measured}) > 1)]
    rest = [k for k in measured[0] if k not in ("rule", *about) and any(c[k] for c in measured)]
    who, what = ([{k: c[k] for k in keys} for c in measured] for keys in (telling, rest))
    return who, what


def table(*parts: Lines) -> Any:
    """A table of the columns of all parts, each of which has the same lines."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    found = Table(
        header_style="bold", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True, show_edge=False
    )
    for part in parts:
        for heading in part[0]:
            left = heading in ("rule", "dtype", "backend")
            found.add_column(
                "\n".join(heading.split(" ", 1)),
                justify="left" if left else "right",
                no_wrap=True,
                vertical="bottom",
            )
    for lines in zip(*parts, strict=True):
        found.add_row(*(cell for line in lines for cell in line.values()))
    return found


def readable(seconds: float) -> str:
    """Three digits, with the unit that suits them."""
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 999.5:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def times(ratio: float) -> str:
    return f"{digits(ratio)}x"


def digits(number: float) -> str:
    """Three digits, or all in front of the point: 0.87, 12.3, 1710."""
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def quantity(number: float) -> str:
    """Three digits, with k, M or G for thousands, millions and billions."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= factor * 0.9995:
            return f"{number / factor:.3g}{unit}"
    return f"{number:.3g}"
