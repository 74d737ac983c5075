"""Loss against wall time: the same network, trained by gpuopt and by a naive loop."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gpuopt.bench.charts import looks
from gpuopt.training.figure import smoothed

NEEDS = "no loss was measured"


def chart(found: dict[str, Any]) -> tuple[Callable[[Any], None], tuple[float, float]] | None:
    """One line for each way of training, of all devices."""
    trained = found.get("loss")
    if not trained:
        return None

    def fill(figure: Any) -> None:
        axes = figure.subplots()
        for name, way in trained["ways"].items():
            at, loss = 1e3 * np.array(way["seconds"]), np.array(way["loss"])
            about = looks.style(name) | {"marker": None}
            axes.plot(at, loss, color=about["color"], alpha=0.15, linewidth=0.7)
            axes.plot(at, smoothed(loss), label=f"{name}: {at[-1]:.0f} ms", **about)
            axes.plot(at[-1], smoothed(loss)[-1], "o", color=about["color"], markersize=5)
        axes.set(xlabel="time of gradients and steps (ms)")
        axes.set(ylabel="cost of the mini-batch J (nats)")
        looks.values_axis(axes, "{:g}".format)
        looks.legend(figure, [axes])
        steps = max(len(way["loss"]) for way in trained["ways"].values())
        what = f"{trained['rule']}, {trained['network']} network, {trained['data']}, {steps} steps"
        figure.suptitle(f"{what}: {looks.about(found)}", fontsize=11)

    return fill, (7.5, 4.8)
