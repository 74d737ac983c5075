"""Several batch sizes side by side: examples per second, and the loss after equal time."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.minibatch import minibatches
from gpuopt.optimizer import Optimizer
from gpuopt.training.network import cost_and_gradients, evaluate


@dataclass(frozen=True)
class Timed:
    """Training with mini-batches of `batch_size` for a given time."""

    batch_size: int
    steps: int
    examples_per_second: float
    loss: float


def timed(
    start: Sequence[np.ndarray],
    make: Callable[[list[Any]], Optimizer],
    X: np.ndarray,
    Y: np.ndarray,
    batch_size: int,
    seconds: float,
    seed: int,
    move: Callable[[np.ndarray], Any],
    wait: Callable[[], None],
) -> Timed:
    """Train for so many seconds, evaluation and the first steps, which compile, left out.

    start: the parameters; make: the optimizer of a copy of them. X: (n_x, m). Y: labels, (1, m).
    move: an array to the device; wait: until its work is done. loss: the mean cross-entropy over
    all examples afterwards.
    """
    warm = [move(p) for p in start]
    batches = minibatches(X, Y, batch_size, axis=1, rng=seed)
    optimizer = make(warm)
    for _ in range(3):
        x, y = (move(a) for a in next(iter(batches)))
        optimizer.step(cost_and_gradients(warm, x, y)[1])
    wait()
    params = [move(p) for p in start]
    optimizer, steps, examples, spent = make(params), 0, 0, 0.0
    with np.errstate(all="ignore"):  # a run that diverges shows as such in its loss
        while spent < seconds:
            for x, y in batches:
                begin = time.perf_counter()
                optimizer.step(cost_and_gradients(params, move(x), move(y))[1])
                wait()
                spent += time.perf_counter() - begin
                steps += 1
                examples += x.shape[1]
                if spent >= seconds:
                    break
        loss, _ = evaluate(params, move(X), move(Y))
    return Timed(batch_size, steps, examples / spent, loss)
