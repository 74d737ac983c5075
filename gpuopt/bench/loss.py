"""Loss against wall time: one small network, trained in turn by gpuopt's backends and a naive loop.

All ways begin with the same parameters and see the same mini-batches, so their losses agree step by
step, and only the time differs.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gpuopt.bench.peers.naive import NAIVE
from gpuopt.bench.rows import Places
from gpuopt.minibatch import minibatches
from gpuopt.training.data import Data, digits
from gpuopt.training.device import Device, cpu, cuda
from gpuopt.training.network import cost_and_gradients
from gpuopt.training.settings import MAKERS, Settings
from gpuopt.training.start import ORDER, SPLIT, quiet, start_of, stream

SECONDS = 5.0  # that it takes, for those who plan
EPOCHS = 10
RULE, LR = "adam", 0.002

Step = Callable[[list[Any]], object]


class Way(NamedTuple):
    """Someone who trains: its parameters, its step, and what it has seen so far.

    seconds: of the wall clock, after every step, for gradients and steps alone.
    """

    device: Device
    params: list[Any]
    step: Step
    batches: Any
    seconds: list[float]
    losses: list[float]

    def epoch(self) -> None:
        total = self.seconds[-1] if self.seconds else 0.0
        batches = iter(self.device.feed(self.batches))
        while True:
            begin = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            cost, grads = cost_and_gradients(self.params, *batch)
            self.step(grads)
            self.device.wait()
            total += time.perf_counter() - begin
            self.seconds.append(total)
            self.losses.append(float(cost))


def loss_against_time(where: Places, seed: int = 0, epochs: int = EPOCHS) -> dict[str, Any]:
    """The network and rule, and for each way the seconds and the loss after every step.

    InputError without scikit-learn, which has the digits. The ways take turns, epoch by epoch; each
    has compiled and taken a few steps before.
    """
    settings = Settings({RULE: LR}, epochs=epochs, seed=seed)
    data = digits(stream(settings, SPLIT))
    start = start_of(data, settings)
    sizes = "-".join(map(str, (data.X.shape[0], *settings.hidden, data.classes)))
    with quiet(settings.batch_size, start):
        ways = dict(all_ways(where, start, data, settings))
        for _ in range(epochs):
            for way in ways.values():
                way.epoch()
    found = {name: {"seconds": w.seconds, "loss": w.losses} for name, w in ways.items()}
    return {"rule": "Adam", "lr": LR, "network": sizes, "data": data.name, "ways": found}


def all_ways(where: Places, start: list[np.ndarray], data: Data, settings: Settings) -> Any:
    """Every backend and the naive loop, by name."""
    for place, backends in where.items():
        device = cpu() if place == "cpu" else cuda(int(place.partition(":")[2]))
        makers = {f"gpuopt {name}": fused(name) for name in backends}
        makers["naive NumPy" if place == "cpu" else "naive CuPy"] = naive
        for name, make in makers.items():

            def new(device: Device = device, make: Any = make) -> Way:
                params = [device.move(p) for p in start]
                order = stream(settings, ORDER)
                batches = minibatches(data.X, data.Y, settings.batch_size, axis=1, rng=order)
                return Way(device, params, make(params), batches, [], [])

            new().epoch()  # warms up, on parameters of its own
            yield name, new()


def fused(backend: str) -> Callable[[list[Any]], Step]:
    return lambda params: MAKERS[RULE](params, lr=LR, backend=backend).step


def naive(params: list[Any]) -> Step:
    settings = {"lr": LR, "betas": (0.9, 0.999), "eps": 1e-8}
    opts = [NAIVE["Adam"](p, settings) for p in params]

    def step(grads: list[Any]) -> None:
        for opt, g in zip(opts, grads, strict=True):
            opt.step(g)

    return step
