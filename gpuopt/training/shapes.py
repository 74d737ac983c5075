"""`gpuopt fit` for a network that is given by its shapes alone."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpuopt import memory
from gpuopt.errors import InputError
from gpuopt.memory.check import MOST
from gpuopt.memory.isolated import ChildDied
from gpuopt.memory.report import FitReport
from gpuopt.memory.text import FAILS
from gpuopt.memory.units import size as words
from gpuopt.optimizer import Optimizer
from gpuopt.training.batch_sizes import Timed, timed
from gpuopt.training.data import from_file
from gpuopt.training.device import Device
from gpuopt.training.network import cost_and_gradients, initialise
from gpuopt.training.settings import DEFAULT_LR, MAKERS, optimizer_names

ROWS = 64  # examples of made-up data, taken again and again, which memory does not mind
EXAMPLES = 16_384  # of the made-up data to train on
AT_MOST = 6  # batch sizes to run


@dataclass(frozen=True)
class Shapes:
    """A network, its optimizer, and the batch sizes (from, to) in question."""

    layers: tuple[int, ...]
    optimizer: str
    dtype: str
    batch: tuple[int, int]
    seed: int

    def __post_init__(self) -> None:
        (name,) = optimizer_names([self.optimizer])
        object.__setattr__(self, "optimizer", name)
        if self.dtype not in ("float32", "float64"):
            raise InputError(f"--dtype {self.dtype}: must be float32 or float64")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must be at least 0")

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.layers))} network, {self.optimizer}, {self.dtype}"

    @property
    def nbytes(self) -> int:
        """Bytes of the parameters."""
        count = sum((before + 1) * here for before, here in itertools.pairwise(self.layers))
        return count * np.dtype(self.dtype).itemsize

    def start(self) -> list[np.ndarray]:
        return initialise(self.layers, np.random.default_rng(self.seed), np.dtype(self.dtype))

    def make(self, params: list[Any]) -> Optimizer:
        return MAKERS[self.optimizer](params, lr=DEFAULT_LR[self.optimizer])


def layer_sizes(text: str) -> tuple[int, ...]:
    """The sizes of `--layers`: features, hidden layers, classes."""
    try:
        sizes = tuple(int(part) for part in text.split("-"))
    except ValueError:
        sizes = ()
    if len(sizes) < 2 or min(sizes) < 1:
        raise InputError(
            f"--layers {text[:40]}: must be whole numbers above 0 with - between them: features, "
            "hidden layers, classes, as in 784-512-512-10"
        )
    return sizes


def batch_range(text: str) -> tuple[int, int]:
    """The sizes of `--batch`: N alone is from N to N."""
    try:
        numbers = [int(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    low, high = (numbers * 2)[:2] if len(numbers) in (1, 2) else (0, 0)
    if high > MOST:
        raise InputError(f"--batch {text[:40]}: must be at most {MOST} examples")
    if not 1 <= low <= high:
        raise InputError(
            f"--batch {text[:40]}: must be a number of examples above 0, or a range of them as "
            "64:8192"
        )
    return low, high


class DoesNotFit(Exception):
    """Not even the network fits in memory, whatever the batch size. about: numbers for programs."""

    def __init__(self, why: str, **about: Any) -> None:
        super().__init__(f"The network does not fit, with any batch size: {why}.")
        self.about = {"verdict": FAILS, "reason": why, **about}


def require_room(wanted: Shapes, device: Device) -> None:
    """DoesNotFit if memory does not do for the parameters, and what every step adds to them: a
    gradient and the optimizer's state of each, whatever the batch size."""
    tiny = dataclasses.replace(wanted, layers=(1, 1))
    state = len(tiny.make(tiny.start()).rule.state)
    more, free = (1 + state) * wanted.nbytes, device.budget()
    if wanted.nbytes + more > free.bytes:
        raise DoesNotFit(
            f"parameters take {in_words(wanted.nbytes)}, their gradients and {wanted.optimizer}'s "
            f"state {in_words(more)}, of {free}",
            parameters=wanted.nbytes,
            budget=free.bytes,
        )


def in_words(number: int) -> str:
    """A number of bytes, which may be more than there are addresses."""
    return words(number) if number < 2**63 else "more than 8 EiB"


def fit(
    wanted: Shapes, device: Device, budget: str | None, effective: int | None, verify: bool
) -> FitReport:
    """The report for the network, from steps on made-up data. Raises DoesNotFit."""
    require_room(wanted, device)
    try:
        return report_of(wanted, device, budget, effective, verify)
    except (MemoryError, ChildDied) as error:
        why = str(error) or "memory ended"
        raise DoesNotFit(why, parameters=wanted.nbytes) from None


def report_of(
    wanted: Shapes, device: Device, budget: str | None, effective: int | None, verify: bool
) -> FitReport:
    params = [device.move(p) for p in wanted.start()]
    optimizer = wanted.make(params)
    X, Y = made_up(wanted, ROWS)

    def step(x: Any, y: Any) -> None:
        optimizer.step(cost_and_gradients(params, x, y)[1])

    low, high = wanted.batch

    def report(sizes: bool | Sequence[int]) -> FitReport:
        return memory.fit(
            step,
            device.move(X),
            device.move(Y),
            axis=1,
            batch_size=low if low == high else None,
            most=high,
            effective_batch=effective,
            budget=budget,
            verify=sizes,
        )

    found = report(False)
    return report(powers(found, low, high)) if verify else found


def made_up(wanted: Shapes, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Examples from N(0, 1), and as label the largest of as many random linear functions."""
    rng = np.random.default_rng([wanted.seed, 1])
    features, classes = wanted.layers[0], wanted.layers[-1]
    X = rng.standard_normal((features, count))
    Y = (rng.standard_normal((classes, features)) @ X).argmax(axis=0)[np.newaxis]
    return X.astype(wanted.dtype), Y


def powers(report: FitReport, low: int, high: int) -> list[int]:
    """A few powers of two in the range that fit, or its only size."""
    if low == high:
        return [low]
    sizes = [2**k for k in range(high.bit_length()) if low <= 2**k <= min(high, report.largest)]
    step = -(-len(sizes) // AT_MOST) or 1
    return sizes[::-1][::step][::-1]


def time_sizes(
    wanted: Shapes, device: Device, report: FitReport, seconds: float, data: Path | None
) -> list[Timed]:
    """Training with each of a few batch sizes for so many seconds."""
    if not 0 < seconds < float("inf"):
        raise InputError(f"--seconds {seconds}: must be a finite number > 0")
    if data is None:
        X, Y = made_up(wanted, EXAMPLES)
    else:
        examples = from_file(data, np.random.default_rng(wanted.seed))
        X, Y = examples.X.astype(wanted.dtype), examples.Y
        sizes = (wanted.layers[0], wanted.layers[-1])
        if (X.shape[0], examples.classes) != sizes:
            raise InputError(
                f"--data {data} has {X.shape[0]} features and {examples.classes} classes, "
                f"--layers {sizes[0]} and {sizes[1]}; give the same"
            )
    sizes = [size for size in powers(report, *wanted.batch) if size <= X.shape[1]]
    return [
        timed(
            wanted.start(), wanted.make, X, Y, size, seconds, wanted.seed, device.move, device.wait
        )
        for size in sizes
    ]


def table(rows: list[Timed], seconds: float) -> str:
    """One line for each batch size."""
    if not rows:
        return "No batch size of the range that fits was left to time."
    best = min(rows, key=lambda row: row.loss if np.isfinite(row.loss) else np.inf)
    text = [f"  batch  examples/s  steps  loss after {seconds:g} s"]
    for row in rows:
        mark = "  lowest" if row is best and len(rows) > 1 else ""
        text.append(
            f"{row.batch_size:7d}  {row.examples_per_second:10,.0f}  {row.steps:5d}  "
            f"{row.loss:.4f}{mark}"
        )
    return "\n".join(text)
