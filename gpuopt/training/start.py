"""What is the same for all optimizers: random numbers, parameters, and the number of steps."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gpuopt.blas import one_blas_thread
from gpuopt.errors import InputError, input_errors
from gpuopt.minibatch import minibatches
from gpuopt.training.data import Data
from gpuopt.training.network import initialise
from gpuopt.training.settings import Settings

SMALL = 2**23  # multiplications of one layer and mini-batch: below a millisecond on one core
SPLIT, START, ORDER, CHECK = range(4)  # what the seed is split into


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


def steps_per_epoch(data: Data, settings: Settings) -> int:
    return len(minibatches(data.X, data.Y, settings.batch_size, axis=1))


def start_of(data: Data, settings: Settings) -> list[np.ndarray]:
    """The parameters from which every optimizer starts."""
    sizes = (data.X.shape[0], *settings.hidden, data.classes)
    with input_errors(MemoryError):
        return initialise(sizes, stream(settings, START))


def quiet(batch_size: int, params: list[Any]) -> AbstractContextManager[Any]:
    """One thread for matrix products where they are small, as in the default network.

    See `one_blas_thread`.
    """
    small = max(W.size for W in params) * batch_size <= SMALL
    return one_blas_thread() if small else nullcontext()
