"""Training one network with several optimizers, each from the same start and in the same order."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpuopt.groups import Schedule
from gpuopt.minibatch import minibatches
from gpuopt.optimizer import Optimizer
from gpuopt.training.data import Data
from gpuopt.training.device import Device
from gpuopt.training.network import BLOCK, cost_and_gradients, evaluate
from gpuopt.training.schedules import schedule
from gpuopt.training.settings import MAKERS, Settings
from gpuopt.training.start import ORDER, quiet, start_of, stream


@dataclass
class History:
    """What a run has done so far. Times are wall-clock seconds, and leave out compiling.

    losses: the cost J{t} of each step's mini-batch, before the step. at: when the step was done.
    """

    losses: list[float] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    seconds: float = 0.0
    seconds_in_optimizer: float = 0.0


@dataclass
class Result:
    """One optimizer's run, with the lists and times of its `History`.

    lr, last_lr: the learning rate as given, and that of the last step. loss_before, loss: mean
    cross-entropy over the training set, without the L2 term. averaged_loss, averaged_accuracy: with
    the averages of the weights, where they are kept.
    """

    rule: str
    lr: float
    last_lr: float
    backend: str
    losses: list[float]
    at: list[float]
    seconds: float
    seconds_in_optimizer: float
    loss_before: float
    loss: float
    accuracy: float
    averaged_loss: float | None
    averaged_accuracy: float | None


def train(
    name: str,
    data: Data,
    settings: Settings,
    device: Device,
    backend: str | None,
    after_step: Callable[["Run"], None] = lambda run: None,
    before: Callable[["Run"], None] = lambda run: None,
    after: Callable[["Run", Result], None] = lambda run, result: None,
) -> Result:
    """Train with the optimizer called `name`.

    before: called with the run before its first step; it may restore a saved one. after_step:
    called after every step; after: in the end.
    """
    start = start_of(data, settings)
    with quiet(settings.batch_size, start):
        run = Run(name, start, data, settings, device, backend)
        before(run)
        while len(run.history.losses) < run.steps:
            run.epoch(after_step)
        result = run.result()
        after(run, result)
        return result


class Run:
    """One optimizer on its way through the epochs.

    Between two steps, all that the next ones depend on is in `params` and `optimizer`, in
    `batches.state_dict()`, and in `loss_before` and `history`, which are plain numbers.
    """

    def __init__(
        self,
        name: str,
        start: list[np.ndarray],
        data: Data,
        settings: Settings,
        device: Device,
        backend: str | None,
    ) -> None:
        self.name, self.data, self.settings, self.device = name, data, settings, device
        self.params = [device.move(p) for p in start]
        # the data stay on the host: only a few mini-batches need the device's memory
        self.batches = minibatches(
            data.X, data.Y, settings.batch_size, axis=1, rng=stream(settings, ORDER)
        )
        self.fed = device.feed(self.batches)
        self.steps = settings.epochs * len(self.batches)
        self.warm_up(backend)
        lr: float | Schedule = settings.lr[name]
        if settings.schedule is not None:
            lr = schedule(settings.schedule, lr, settings.epochs, len(self.batches))
        self.optimizer = self.make(self.params, lr, backend)
        self.loss_before, _ = evaluation(self.params, data.X, data.Y, device)
        self.history = History()

    def make(self, params: list[Any], lr: float | Schedule, backend: str | None) -> Optimizer:
        average = self.settings.average
        return MAKERS[self.name](params, lr=lr, average=average, backend=backend)

    def warm_up(self, backend: str | None) -> None:
        """Compile everything that a run uses, on copies."""
        copies = [p.copy() for p in self.params]
        optimizer = self.make(copies, 0.0, backend)
        # lies in memory as shuffled batches do
        first = self.batches.batch(np.arange(self.settings.batch_size), 0)
        batch = next(iter(self.device.feed([first])))
        for _ in range(5):  # later steps take a shorter way, which is compiled on its own
            optimizer.step(cost_and_gradients(copies, *batch)[1])

    def epoch(self, after_step: Callable[["Run"], None]) -> None:
        """One pass through the training set, or what remains of the one that was saved."""
        history, settings, wait = self.history, self.settings, self.device.wait
        epoch = iter(self.fed)
        while True:
            begin = time.perf_counter()
            batch = next(epoch, None)
            if batch is None:
                break
            with np.errstate(all="ignore"):  # a run that diverges shows as such in its losses
                # a smaller last batch is not regularised more strongly than the others
                l2 = settings.l2 * batch[0].shape[1] / settings.batch_size
                cost, grads = cost_and_gradients(self.params, batch[0], batch[1], l2)
            wait()
            before = time.perf_counter()
            self.optimizer.step(grads)
            wait()
            end = time.perf_counter()
            history.seconds += end - begin
            history.seconds_in_optimizer += end - before
            history.losses.append(float(cost))
            history.at.append(history.seconds)
            after_step(self)

    def outcome(self) -> tuple[float, float]:
        """The loss over the training set, and the accuracy in the test set."""
        data, device = self.data, self.device
        loss, _ = evaluation(self.params, data.X, data.Y, device)
        _, accuracy = evaluation(self.params, data.X_test, data.Y_test, device)
        return loss, accuracy

    def result(self) -> Result:
        """What came out, with the parameters as they are now."""
        optimizer, history = self.optimizer, self.history
        loss, accuracy = self.outcome()
        averaged_loss, averaged_accuracy = None, None
        if optimizer.average is not None:
            with optimizer.averages():
                averaged_loss, averaged_accuracy = self.outcome()
        lr = optimizer.lr
        return Result(
            rule=repr(optimizer.rule),
            lr=self.settings.lr[self.name],
            last_lr=lr(optimizer.step_count) if callable(lr) else lr,
            backend=optimizer.backend,
            **vars(history),
            loss_before=self.loss_before,
            loss=loss,
            accuracy=accuracy,
            averaged_loss=averaged_loss,
            averaged_accuracy=averaged_accuracy,
        )


def evaluation(
    params: list[Any], X: np.ndarray, Y: np.ndarray, device: Device
) -> tuple[float, float]:
    """`evaluate` for data on the host, of which the device holds a few blocks at a time."""
    blocks = minibatches(X, Y, BLOCK, axis=1, shuffle=False)
    with np.errstate(all="ignore"):  # of a run that has diverged
        found = [(*evaluate(params, *block), block[0].shape[1]) for block in device.feed(blocks)]
        losses, accuracies, counts = zip(*found, strict=True)
        loss, accuracy = np.average([losses, accuracies], axis=1, weights=counts)
    return float(loss), float(accuracy)
