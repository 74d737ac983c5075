"""Twin optimizers: one is captured in a graph and replayed, the other takes its steps eagerly."""

from types import SimpleNamespace
from typing import Any

import cupy
import numpy as np

import gpuopt
from gpuopt import rules
from tests.gpu.tools import start

SIZES = (5, 2049, 33, 70_001)


def capture(stream: Any, run: Any) -> Any:
    """The graph of what `run` puts on `stream`."""
    with stream:
        stream.begin_capture()
        try:
            run()
        except BaseException:
            try:
                stream.end_capture()
            except Exception as error:
                print("after a failed capture:", error)
            raise
        return stream.end_capture()


class Twins:
    """`replayed` and `eager`: the same rule, parameters and gradients, each with arrays of its own.

    After `capture()`, `step(t)` gives both the gradients of step t and takes it in both.
    """

    def __init__(self, rule: rules.Rule, lr: Any = 0.01, average: float | None = None, **options):
        self.stream = cupy.cuda.Stream(non_blocking=True)
        self.start, self.grads = start(rule, "float32", 8, SIZES)
        self.replayed, self.eager = (self.twin(rule, lr, average, options) for _ in range(2))
        self.graph: Any = None

    def twin(self, rule: rules.Rule, lr: Any, average: Any, options: Any) -> SimpleNamespace:
        options = dict(options)
        if options.get("loss_scale") == "scaler":
            options["loss_scale"] = gpuopt.LossScaler(256.0, growth_interval=2)
        params = [cupy.asarray(p) for p in self.start]
        return SimpleNamespace(
            opt=gpuopt.Optimizer(params, rule, lr=lr, average=average, backend="cupy"),
            params=params,
            grads=[cupy.asarray(g) for g in self.grads[0]],
            options=options,
        )

    @property
    def both(self) -> list[SimpleNamespace]:
        return [self.replayed, self.eager]

    def fill(self, t: int) -> None:
        for twin in self.both:
            for g, values in zip(twin.grads, self.grads[t], strict=True):
                g[...] = cupy.asarray(values)

    def take(self, twin: SimpleNamespace) -> None:
        twin.opt.step(twin.grads, **twin.options)

    def warm_up(self) -> None:
        cupy.cuda.Device().synchronize()
        with self.stream:
            for twin in self.both:
                self.take(twin)

    def capture(self) -> Any:
        self.graph = capture(self.stream, lambda: self.take(self.replayed))
        return self.graph

    def step(self, t: int, graph: Any = None) -> None:
        with self.stream:
            self.fill(t)
            (graph or self.graph).launch(self.stream)
            self.take(self.eager)

    def set(self, change: Any) -> None:
        with self.stream:
            for twin in self.both:
                change(twin.opt)

    def finish(self) -> None:
        self.stream.synchronize()

    def bits(self) -> list[list[bytes]]:
        self.finish()
        return [[cupy.asnumpy(a).tobytes() for a in everything(twin)] for twin in self.both]

    def difference(self) -> float:
        """The largest difference of p and state, relative where they are above 0.01."""
        self.finish()
        pairs = zip(*(map(cupy.asnumpy, everything(twin)) for twin in self.both), strict=True)
        return max(
            float((np.abs(a - b) / np.maximum(np.abs(b), 0.01)).max(initial=0)) for a, b in pairs
        )


def everything(twin: SimpleNamespace) -> list[Any]:
    state = [array for buffers in twin.opt.state.values() for array in buffers.values()]
    return [*twin.params, *state]
