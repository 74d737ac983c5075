"""How near each rule's step is to the machine's limit for its bytes."""

from collections.abc import Callable
from typing import Any

from gpuopt.bench.charts import looks
from gpuopt.bench.results import Row, has_limit, limit
from gpuopt.pictures import BLACK

NEEDS = "it needs a step of 8 MiB or more, beside which a limit is measured"


def chart(found: dict[str, Any]) -> tuple[Callable[[Any], None], tuple[float, float]] | None:
    """Bars of the largest list of each rule, dtype and device; whiskers are the quartiles."""
    best: dict[tuple[str, str, str], Row] = {}
    for row in found["rows"]:
        key = row["rule"], row["dtype"], row["device"]
        before = best.get(key)
        if limit(row) and (before is None or row["parameters"] > before["parameters"]):
            best[key] = row
    bars = [bar for row in best.values() for bar in bars_of(row, len({k[1] for k in best}) > 1)]
    if not bars:
        return None

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for k, (_, name, share, low, high) in enumerate(reversed(bars)):
            about = looks.style(name)
            known = axes.get_legend_handles_labels()[1]
            axes.barh(
                k, share, color=about["color"], height=0.7, alpha=0.85,
                xerr=[[share - low], [high - share]], error_kw={"elinewidth": 1, "capsize": 3},
                label=name if name not in known else None,
                hatch="///" if share > 100 else None, edgecolor="white",
            )  # fmt: skip
        axes.axvline(100, color=BLACK, linestyle=(0, (4, 2)), linewidth=1.3)
        axes.set_yticks(range(len(bars)), [bar[0] for bar in reversed(bars)], fontsize=9)
        doubt = "; hatched: above it by noise, so it cannot be told"
        unsure = any(bar[2] > 100 for bar in bars)
        axes.set(xlabel="percent of the limit measured beside it" + doubt * unsure, xlim=(0, None))
        axes.grid(alpha=0.25, axis="x")
        axes.margins(y=0.02)
        looks.legend(figure, [axes])
        figure.suptitle(f"how near to memory's speed: {looks.about(found)}", fontsize=11)

    return fill, (7.5, 1.6 + 0.36 * len(bars))


def bars_of(row: Row, with_dtype: bool) -> list[tuple[str, str, float, float, float]]:
    """For each of gpuopt's candidates: what it is, its name, and percent with quartiles."""
    most = limit(row)
    found = []
    for name in looks.names([row]):
        if most and name.startswith("gpuopt") and has_limit(row, name):
            times = row["times"][name]
            shares = [100 * most["median"] / times[q] for q in ("median", "q3", "q1")]
            dtype = f" {row['dtype']}" * with_dtype
            found.append((f"{row['rule']}{dtype}, {row['list']}", name, *shares))
    return found
