"""`gpuopt train --fit`: the batch size by the course's advice and the memory-fit check."""

from collections.abc import Sequence
from typing import Any

from gpuopt import memory
from gpuopt.errors import input_errors
from gpuopt.memory.units import size as words
from gpuopt.training.data import Data
from gpuopt.training.device import Device
from gpuopt.training.network import cost_and_gradients
from gpuopt.training.settings import MAKERS, Settings
from gpuopt.training.start import start_of

FEW = 64  # examples, taken again and again by the probes


def fitting_batch_size(
    names: Sequence[str], data: Data, settings: Settings, device: Device
) -> tuple[int, str]:
    """A batch size that fits with the optimizer that keeps most, and a line that says why."""
    optimizers = {}
    for name in names:
        params = [device.move(p) for p in start_of(data, settings)]
        made = MAKERS[name](params, lr=settings.lr[name], average=settings.average)
        optimizers[len(made.rule.state)] = params, made
    params, optimizer = optimizers[max(optimizers)]

    def step(x: Any, y: Any) -> None:
        optimizer.step(cost_and_gradients(params, x, y, settings.l2)[1])

    count = data.X.shape[1]
    few = (device.move(a[:, :FEW]) for a in (data.X, data.Y))
    with input_errors(ValueError, MemoryError):
        report = memory.fit(step, *few, axis=1, most=count)
        size = memory.suggest_batch_size(count, report.fits)
    steps = settings.epochs * -(-count // size)
    return size, (
        f"--fit: batches of {size} of {count} examples, projected to use "
        f"{words(report.predict(size))} of {words(report.budget.bytes)}; {steps} steps in all"
    )
