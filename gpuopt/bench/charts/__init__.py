"""The charts of a benchmark: one file a picture; `draw` writes those that there is data for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpuopt.bench.charts import limit, loss, scaling, speedup, throughput
from gpuopt.pictures import picture
from gpuopt.replacing import replacing

# Each module has NEEDS, what it takes, and `chart(found)`: a function of a figure and the figure's
# size in inches, or None where the results do not have that.
CHARTS = {
    "throughput": throughput,
    "speedup": speedup,
    "limit": limit,
    "scaling": scaling,
    "loss": loss,
}


def draw(found: dict[str, Any], folder: Path) -> Iterator[tuple[Path, str]]:
    """Write the charts of results into a folder, which is made if need be: each one's path and "",
    or why it is not there."""
    folder.mkdir(exist_ok=True)
    for name, module in CHARTS.items():
        path = folder / f"{name}.png"
        yield path, "" if draw_one(name, found, path) else module.NEEDS


def draw_one(name: str, found: dict[str, Any], path: Path) -> bool:
    """Write one chart; False if the results do not have what it needs."""
    made = CHARTS[name].chart(found)
    if made is None:
        return False
    fill, size = made
    with replacing(path) as target, picture(target, size) as figure:
        fill(figure)
    return True
