"""Scaling: time by number of parameters, by number of tensors, and what a step allocates."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuopt.bench.charts import looks
from gpuopt.bench.report import readable
from gpuopt.bench.results import Row
from gpuopt.memory.units import size as bytes_in_words

NEEDS = "it needs two sizes of one tensor, or --tensors 1,100"


def chart(found: dict[str, Any]) -> tuple[Callable[[Any], None], tuple[float, float]] | None:
    """A panel for each of the three that there are two sizes of, for the first rule and dtype."""
    if not found["rows"]:
        return None
    first = found["rows"][0]
    kind = first["rule"], first["dtype"], first["device"]
    rows = [
        row
        for row in found["rows"]
        if (row["rule"], row["dtype"], row["device"]) == kind and not row["copies"]
    ]
    single = [row for row in rows if row["tensors"] == 1]
    panels: list[Callable[[Any], None]] = []
    if len({row["parameters"] for row in single}) > 1:
        panels.append(lambda axes: by_size(axes, single))
    largest = max(totals(rows).items(), default=None, key=lambda item: item[0])
    if largest is not None:
        panels.append(lambda axes: by_tensors(axes, largest[1], largest[0]))
    grown = [row for row in single if row.get("temporary_bytes")]
    if len({row["parameters"] for row in grown}) > 1:
        panels.append(lambda axes: by_memory(axes, grown))
    if not panels:
        return None

    def fill(figure: Any) -> None:
        grid = list(figure.subplots(1, len(panels), squeeze=False).flat)
        for panel, axes in zip(panels, grid, strict=True):
            panel(axes)
        looks.legend(figure, grid)
        title = f"{kind[0]} {kind[1]}, {kind[2]}: how a step grows: {looks.about(found)}"
        figure.suptitle(title, fontsize=11)

    return fill, (max(7.5, 4.6 * len(panels)), 5.0)


def totals(rows: Sequence[Row]) -> dict[int, list[Row]]:
    """Rows of equal numbers of parameters in different numbers of equal tensors, by that total."""
    found: dict[int, list[Row]] = {}
    for row in filter(looks.equal_parts, rows):
        found.setdefault(row["parameters"], []).append(row)
    return {n: cut for n, cut in found.items() if len({r["tensors"] for r in cut}) > 1}


def by_size(axes: Any, rows: Sequence[Row]) -> None:
    lines(axes, rows, "parameters")
    looks.sizes_axis(axes, {row["parameters"] for row in rows})
    axes.set(ylabel="time of a step")
    axes.set_title("one tensor", fontsize=10)


def by_tensors(axes: Any, rows: Sequence[Row], total: int) -> None:
    lines(axes, rows, "tensors")
    looks.sizes_axis(axes, {row["tensors"] for row in rows}, "tensors")
    axes.set(ylabel="time of a step")
    axes.set_title(f"{looks.short(total)} parameters in all", fontsize=10)


def lines(axes: Any, rows: Sequence[Row], key: str) -> None:
    """Times on logarithmic axes, with a band between the quartiles."""
    for name in looks.names(rows):
        found, style = looks.points(rows, name), looks.style(name)
        at = [p.row[key] for p in found]
        axes.plot(at, [p.median for p in found], label=name, **style)
        low, high = [p.low for p in found], [p.high for p in found]
        axes.fill_between(at, low, high, color=style["color"], alpha=0.15, linewidth=0)
    looks.values_axis(axes, readable)


def by_memory(axes: Any, rows: Sequence[Row]) -> None:
    """What a step allocates beyond what it keeps, beside a line of the parameters' own bytes."""
    rows = sorted(rows, key=lambda row: row["parameters"])
    sizes = [row["parameters"] for row in rows]
    for name in looks.names(rows):
        seen = [(r["parameters"], r["temporary_bytes"].get(name)) for r in rows]
        found = [(n, taken) for n, taken in seen if taken]
        if found:
            axes.plot(*zip(*found, strict=True), label=name, **looks.style(name))
        elif all(taken == 0 for _, taken in seen):  # which no logarithmic axis can show
            axes.plot([], [], label=f"{name}: no temporary memory", **looks.style(name))
    width = {"float64": 8, "float32": 4}.get(rows[0]["dtype"], 2)
    axes.plot(
        sizes, [width * n for n in sizes], color="black", linestyle=":", linewidth=1.3,
        label="one copy of the parameters",
    )  # fmt: skip
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda y, _: bytes_in_words(round(y)))
    looks.sizes_axis(axes, sizes)
    axes.set(ylabel="temporary memory of a step")
    axes.set_title("memory", fontsize=10)
