"""How charts show candidates: the same colour everywhere, gpuopt's lines thick."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from gpuopt.bench.results import Row
from gpuopt.bench.settings import cut_name, short
from gpuopt.pictures import BLACK, BLUE, GREEN, ORANGE, PINK, RED, SKY

GREY, NAVY, BROWN = "0.45", "#00315C", "#7A4B2A"
OURS = {
    "gpuopt numba": (BLUE, "o"),
    "gpuopt numpy": (SKY, "o"),
    "gpuopt cupy": (GREEN, "o"),
    "gpuopt numba-cuda": (GREEN, "v"),
    "gpuopt.torch": (NAVY, "s"),
    "gpuopt.thinc": (NAVY, "P"),
}
OTHERS = {
    "torch fused": (RED, "D"),
    "torch foreach": (ORANGE, "^"),
    "torch for-loop": (PINK, "v"),
    "Thinc": (BLACK, "P"),
    "optax": (GREEN, "X"),
    "bitsandbytes": (SKY, "<"),
    "torchao": (SKY, ">"),
    "naive NumPy": (GREY, "*"),
    "naive CuPy": (BROWN, "p"),
}


class Point(NamedTuple):
    """What one candidate took in a row, in seconds: median and quartiles."""

    row: Row
    median: float
    low: float
    high: float


def style(name: str, device: str = "cpu") -> dict[str, Any]:
    """matplotlib's arguments for a candidate's line; a peer's is broken on the CPU, thin and whole
    on a GPU."""
    if name in OURS:
        color, marker = OURS[name]
        line: Any = {"gpuopt.torch": "--", "gpuopt.thinc": ":"}.get(name, "-")
        return {"color": color, "marker": marker, "linestyle": line, "linewidth": 2.2, "zorder": 3}
    color, marker = OTHERS.get(name, (GREY, "."))
    line = (0, (4, 1.5)) if device == "cpu" else "-"
    return {"color": color, "marker": marker, "linestyle": line, "linewidth": 1.2}


def names(rows: Iterable[Row]) -> list[str]:
    """All candidates of some rows, limits left out, gpuopt's first and each in its usual place."""
    there = {name for row in rows for name in row["times"] if not name.startswith("limit")}
    usual = [name for name in (*OURS, *OTHERS) if name in there]
    return usual + sorted(there - set(usual))


def points(rows: Sequence[Row], name: str) -> list[Point]:
    """A candidate's times, by size."""
    found = [
        Point(row, times["median"], times["q1"], times["q3"])
        for row in rows
        if (times := row["times"].get(name))
    ]
    return sorted(found, key=lambda p: (p.row["parameters"], p.row["tensors"]))


def equal_parts(row: Row) -> bool:
    """Whether a row is one total in some number of equal tensors, as --tensors asks for."""
    return row["tensors"] == 1 or row["list"] == cut_name(row["parameters"], row["tensors"])


def single(found: dict[str, Any]) -> list[Row]:
    """Rows of one tensor whose arrays stay where they are."""
    return [row for row in found["rows"] if row["tensors"] == 1 and not row["copies"]]


def place(row: Row) -> str:
    """Behind a name, where a row was measured, if it matters: on a GPU."""
    return "" if row["device"] == "cpu" else f", {row['device']}"


def sizes_axis(axes: Any, sizes: Iterable[int], label: str = "parameters") -> None:
    """A logarithmic axis of whole numbers, named at powers of ten."""
    axes.set_xscale("log")
    low, high = (math.log10(f(sizes)) for f in (min, max))
    ticks = [10**k for k in range(math.floor(low), math.ceil(high) + 1)]
    axes.set_xticks(ticks, [short(tick) for tick in ticks])
    axes.set(xlabel=label)
    axes.grid(alpha=0.25)
    axes.margins(x=0.04)


def values_axis(axes: Any, text: Callable[[float], str]) -> None:
    """A logarithmic axis of values, which `text` writes; where it spans little, also between powers
    of ten. To be called when all is drawn."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axes.yaxis.set_major_formatter(lambda y, _: text(y))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)


def legend(figure: Any, axes: Iterable[Any]) -> None:
    """One legend below for all axes, each name once, in as many columns as there is room for."""
    handles: dict[str, Any] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        inches = 0.6 + 0.09 * max(map(len, handles))  # of a column
        count = min(max(1, int(figure.get_figwidth() / inches)), len(handles))
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center", ncols=count,
            frameon=False,
        )  # fmt: skip


def about(found: dict[str, Any]) -> str:
    """What all titles end in: the machine."""
    machine = found.get("machine", {})
    parts = [machine.get("processor"), machine.get("gpu")]
    cores = machine.get("cores")
    said = ", ".join(str(part) for part in parts if part)
    return f"{said}, {cores} cores" if cores and said else said
