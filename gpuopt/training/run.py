"""Training one network with several optimizers, each from the same start and in the same order."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.errors import InputError, input_errors
from gpuopt.minibatch import minibatches
from gpuopt.optimizer import Optimizer
from gpuopt.training.data import Data
from gpuopt.training.device import Device
from gpuopt.training.network import BLOCK, cost_and_gradients, evaluate, initialise
from gpuopt.training.settings import MAKERS, Settings

SMALL = 2**23  # multiplications of one layer and mini-batch: below a millisecond on one core
SPLIT, START, ORDER = 0, 1, 2  # what the seed is split into; the order is the same for all


@dataclass
class Result:
    """One optimizer's run. Times are wall-clock seconds, and leave out compiling.

    losses: the cost J{t} of each step's mini-batch, before the step. at: when the step was done.
    loss_before, loss: mean cross-entropy over the training set, without the L2 term.
    """

    rule: str
    lr: float
    backend: str
    losses: list[float]
    at: list[float]
    seconds: float
    seconds_in_optimizer: float
    loss_before: float
    loss: float
    accuracy: float


def stream(settings: Settings, purpose: int) -> np.random.Generator:
    """The random numbers for one purpose, fixed by the seed."""
    return np.random.default_rng([settings.seed, purpose])


def check_fit(data: Data, settings: Settings) -> None:
    """Raise if the batch is larger than the training set."""
    count = data.X.shape[1]
    if settings.batch_size > count:
        raise InputError(
            f"--batch-size {settings.batch_size}: the training set has {count} examples; "
            f"give 1 to {count}"
        )


def steps_per_run(data: Data, settings: Settings) -> int:
    return settings.epochs * len(minibatches(data.X, data.Y, settings.batch_size, axis=1))


def start_of(data: Data, settings: Settings) -> list[np.ndarray]:
    """The parameters from which every optimizer starts."""
    sizes = (data.X.shape[0], *settings.hidden, data.classes)
    with input_errors(MemoryError):
        return initialise(sizes, stream(settings, START))


def quiet(settings: Settings, params: list[Any]) -> AbstractContextManager[Any]:
    """One thread for matrix products where they are small, as in the default network.

    They gain little from more, and where other programs want the cores, waiting for the others can
    make a step a hundred times slower. Without threadpoolctl (scikit-learn brings it) nothing.
    """
    if max(W.size for W in params) * settings.batch_size > SMALL:
        return nullcontext()
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(1, user_api="blas")


def train(
    name: str,
    data: Data,
    settings: Settings,
    device: Device,
    backend: str | None,
    advance: Callable[[float], None] = lambda loss: None,
) -> Result:
    """Train with the optimizer called `name`; `advance(loss)` is called after every step."""
    start = start_of(data, settings)
    with quiet(settings, start):
        return train_from(start, name, data, settings, device, backend, advance)


def train_from(
    start: list[np.ndarray],
    name: str,
    data: Data,
    settings: Settings,
    device: Device,
    backend: str | None,
    advance: Callable[[float], None],
) -> Result:
    """`train` from given parameters."""
    params = [device.move(p) for p in start]
    # the data stay on the host: only parameters and a few mini-batches need the device's memory
    shuffled = minibatches(data.X, data.Y, settings.batch_size, axis=1, rng=stream(settings, ORDER))
    first = shuffled.batch(np.arange(shuffled.count), 0)  # lies in memory as shuffled ones do
    warm_up(name, params, next(iter(device.feed([first]))), backend)
    optimizer = make(name, params, settings.lr[name], backend)
    loss_before, _ = evaluation(params, data.X, data.Y, device)
    batches = device.feed(shuffled)
    losses: list[float] = []
    at: list[float] = []
    seconds, seconds_in_optimizer = 0.0, 0.0
    for _ in range(settings.epochs):
        epoch = iter(batches)
        while True:
            begin = time.perf_counter()
            batch = next(epoch, None)
            if batch is None:
                break
            with np.errstate(all="ignore"):  # a run that diverges shows as such in its losses
                # a smaller last batch is not regularised more strongly than the others
                l2 = settings.l2 * batch[0].shape[1] / settings.batch_size
                cost, grads = cost_and_gradients(params, batch[0], batch[1], l2)
            device.wait()
            before = time.perf_counter()
            optimizer.step(grads)
            device.wait()
            end = time.perf_counter()
            seconds += end - begin
            seconds_in_optimizer += end - before
            losses.append(float(cost))
            at.append(seconds)
            advance(losses[-1])
    with np.errstate(all="ignore"):
        loss, _ = evaluation(params, data.X, data.Y, device)
        _, accuracy = evaluation(params, data.X_test, data.Y_test, device)
    return Result(
        rule=repr(optimizer.rule),
        lr=settings.lr[name],
        backend=optimizer.backend,
        losses=losses,
        at=at,
        seconds=seconds,
        seconds_in_optimizer=seconds_in_optimizer,
        loss_before=loss_before,
        loss=loss,
        accuracy=accuracy,
    )


def make(name: str, params: list[Any], lr: float, backend: str | None) -> Optimizer:
    return MAKERS[name](params, lr=lr, backend=backend)


def evaluation(
    params: list[Any], X: np.ndarray, Y: np.ndarray, device: Device
) -> tuple[float, float]:
    """`evaluate` for data on the host, of which the device holds a few blocks at a time."""
    blocks = minibatches(X, Y, BLOCK, axis=1, shuffle=False)
    found = [(*evaluate(params, *block), block[0].shape[1]) for block in device.feed(blocks)]
    losses, accuracies, counts = zip(*found, strict=True)
    loss, accuracy = np.average([losses, accuracies], axis=1, weights=counts)
    return float(loss), float(accuracy)


def warm_up(name: str, params: list[Any], batch: tuple[Any, Any], backend: str | None) -> None:
    """Compile everything that a run uses, on copies."""
    copies = [p.copy() for p in params]
    optimizer = make(name, copies, 0.0, backend)
    for _ in range(5):  # later steps take a shorter way, which is compiled on its own
        optimizer.step(cost_and_gradients(copies, *batch)[1])
