"""Speed-up: gpuopt against each peer, by size and by list, and a GPU against the CPU."""

from collections.abc import Callable, Sequence
from typing import Any

from gpuopt.bench.charts import looks
from gpuopt.bench.crossover import walls
from gpuopt.bench.results import Row
from gpuopt.pictures import BLACK

NEEDS = "it needs a peer, or both a CPU and a GPU"
Data = list[tuple[str, list[tuple[Any, float]]]]


def chart(found: dict[str, Any]) -> tuple[Callable[[Any], None], tuple[float, float]] | None:
    """Left: one tensor by size. Right: lists. Of the first rule and dtype that was measured."""
    if not found["rows"]:
        return None
    first = found["rows"][0]
    kind = first["rule"], first["dtype"]
    rows = [r for r in found["rows"] if (r["rule"], r["dtype"]) == kind and not r["copies"]]
    single = [row for row in rows if row["tensors"] == 1]
    lists = [row for row in rows if not looks.equal_parts(row)]
    curves = ratios(single, "parameters") if len({r["parameters"] for r in single}) > 1 else []
    dots = ratios(lists, "list")
    on_gpu = gpu_over_cpu(single)
    crosses = [c for c in found["crossover"] if (c["rule"], c["dtype"]) == kind and c["from"]]
    parts = [bool(curves or on_gpu), bool(dots)]
    if not any(parts):
        return None

    def fill(figure: Any) -> None:
        panels = list(figure.subplots(1, sum(parts), squeeze=False, sharey=True).flat)
        if parts[0]:
            by_size(panels[0], curves, on_gpu, [c for c in crosses if not c["copies"]])
        if parts[1]:
            by_list(panels[-1], dots)
        for axes in panels:
            axes.axhline(1, color=BLACK, linewidth=1)
            looks.values_axis(axes, "{:g}x".format)
        panels[0].set(ylabel="times as fast")
        looks.legend(figure, panels)
        title = f"{kind[0]} {kind[1]}: gpuopt against its peers: {looks.about(found)}"
        figure.suptitle(title, fontsize=11)

    return fill, (6.2 * max(sum(parts), 1.25), 5.0)


def ratios(rows: Sequence[Row], key: str) -> Data:
    """For each peer: how many times as long as gpuopt's best it takes, by the rows' `key`."""
    found: dict[str, list[tuple[Any, float]]] = {}
    for row in sorted(rows, key=lambda r: r["parameters"]):
        own = [t["median"] for name, t in row["times"].items() if name.startswith("gpuopt ")]
        for name in looks.names([row]) if own else ():
            if not name.startswith("gpuopt"):
                ratio = row["times"][name]["median"] / min(own)
                found.setdefault(name + looks.place(row), []).append((row[key], ratio))
    return list(found.items())


def gpu_over_cpu(rows: Sequence[Row]) -> list[tuple[int, float]]:
    """How many times as fast a GPU is as the CPU, by the wall clock and size, where both ran."""
    on_cpu = walls(row for row in rows if row["device"] == "cpu")
    on_gpu = walls(row for row in rows if row["device"] != "cpu")
    return [(n, on_cpu[n] / on_gpu[n]) for n in sorted(on_cpu.keys() & on_gpu.keys())]


def by_size(axes: Any, curves: Data, on_gpu: list[tuple[int, float]], crosses: list[Any]) -> None:
    for name, found in curves:
        axes.plot(*zip(*found, strict=True), label=f"against {name}", **style(name))
    if on_gpu:
        label = "gpuopt: GPU against CPU"
        axes.plot(*zip(*on_gpu, strict=True), label=label, **looks.style("gpuopt cupy"))
    for cross in crosses:
        label = f"{cross['device']} wins from {cross['from']:,} parameters"
        axes.axvline(cross["from"], color="0.4", linestyle=":", linewidth=1.4, label=label)
    sizes = {n for _, found in curves for n, _ in found} | {n for n, _ in on_gpu}
    looks.sizes_axis(axes, sizes)
    axes.set_title("one tensor", fontsize=10)


def by_list(axes: Any, dots: Data) -> None:
    names = list(dict.fromkeys(where for _, found in dots for where, _ in found))
    for name, found in dots:
        at = [names.index(where) for where, _ in found]
        hollow = {"markerfacecolor": "white"} if ", cuda" in name else {}
        about = style(name) | {"linestyle": "none"} | hollow
        axes.plot(at, [ratio for _, ratio in found], label=f"against {name}", **about)
    axes.set_xticks(range(len(names)), [name.replace(" ", "\n", 1) for name in names], fontsize=9)
    axes.margins(x=0.15)
    axes.set_title("lists of tensors", fontsize=10)


def style(name: str) -> dict[str, Any]:
    name, _, device = name.partition(", ")
    return looks.style(name, device or "cpu")
