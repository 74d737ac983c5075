"""Throughput against size: one tensor, all candidates, the machine's limit as a line."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuopt.bench.charts import looks
from gpuopt.bench.results import Row, limit

NEEDS = "it needs two sizes of one tensor: --sizes 1e4,1e6"
MOST = 6  # panels


def chart(found: dict[str, Any]) -> tuple[Callable[[Any], None], tuple[float, float]] | None:
    """A panel for each rule and dtype that was measured with two sizes or more."""
    rows = looks.single(found)
    kinds = dict.fromkeys((row["rule"], row["dtype"]) for row in rows)
    panels = {kind: [r for r in rows if (r["rule"], r["dtype"]) == kind] for kind in kinds}
    panels = {k: r for k, r in panels.items() if len({x["parameters"] for x in r}) > 1}
    panels = dict(list(panels.items())[:MOST])
    if not panels:
        return None
    across = min(len(panels), 3)
    down = -(-len(panels) // across)

    def fill(figure: Any) -> None:
        grid = figure.subplots(down, across, squeeze=False, sharey=True)
        for axes, (kind, here) in zip(grid.flat, panels.items(), strict=False):
            panel(axes, here)
            axes.set_title(f"{kind[0]}, {kind[1]}", fontsize=10)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set(ylabel="bytes of a fused step per second (GB/s)")
        looks.legend(figure, grid.flat)
        figure.suptitle(f"one step over one tensor: {looks.about(found)}", fontsize=11)

    return fill, (max(7.5, 4.2 * across), 1.2 + 4.0 * down)


def panel(axes: Any, rows: Sequence[Row]) -> None:
    for device in dict.fromkeys(row["device"] for row in rows):
        here = [row for row in rows if row["device"] == device]
        for name in looks.names(here):
            found = looks.points(here, name)
            sizes = [p.row["parameters"] for p in found]
            label, style = name + looks.place(here[0]), looks.style(name, device)
            axes.plot(sizes, [speed(p.row, p.median) for p in found], label=label, **style)
            low, high = ([speed(p.row, getattr(p, q)) for p in found] for q in ("high", "low"))
            axes.fill_between(sizes, low, high, color=style["color"], alpha=0.15, linewidth=0)
        cached = [row["parameters"] for row in here if row.get("in_l2")]
        if cached:
            label = "arrays fit in the L2" + looks.place(here[0])
            axes.axvspan(min(cached), max(cached), color="0.5", alpha=0.1, lw=0, label=label)
        limits = [(row["parameters"], row, best) for row in here if (best := limit(row))]
        if limits:
            limits.sort(key=lambda x: x[0])
            axes.plot(
                [size for size, _, _ in limits],
                [speed(row, best["median"]) for _, row, best in limits],
                color="black", linestyle=":", linewidth=1.6, marker="_", markersize=12,
                label="measured limit" + looks.place(here[0]), zorder=4,
            )  # fmt: skip
    looks.values_axis(axes, "{:g}".format)
    looks.sizes_axis(axes, {row["parameters"] for row in rows})


def speed(row: Row, seconds: float) -> float:
    return row["bytes"] / seconds / 1e9
