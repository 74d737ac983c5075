"""Mini-batches of random containers: an error at once, or every example exactly once, aligned."""

from collections import deque

import numpy as np
import pytest

import gpuopt

WIDTHS = (1, 2, 3, 7)


class Table:
    """As a table of pandas or polars: rows by labels, or by position from `to_numpy`."""

    def __init__(self, values):
        self.values, self.shape, self.columns = values, values.shape, ("a",)

    def __getitem__(self, label):
        raise KeyError(label)

    def to_numpy(self):
        return self.values


def examples(rng, m):
    """Arrays of m examples whose every element is the example's number: of 1, 2 or 3 axes."""
    shape = [m, *rng.choice(WIDTHS, rng.integers(0, 3))]
    numbers = np.arange(m).reshape([m] + [1] * (len(shape) - 1))
    return np.array(np.broadcast_to(numbers, shape), rng.choice(["f4", "f8", "i8"]))


def cuts(rng, m):
    """Where m examples are cut into chunks, of equal or of random lengths."""
    count = int(rng.integers(1, 5))
    if rng.random() < 0.5 and m % count == 0:
        return np.arange(m // count, m, m // count)
    return np.sort(rng.integers(0, m + 1, count - 1))


CONTAINERS = {
    "array": lambda x, at: x,
    "fortran": lambda x, at: np.asfortranarray(x),
    "backwards": lambda x, at: x[::-1].copy()[::-1],
    "masked": lambda x, at: np.ma.masked_array(x, np.zeros(x.shape, bool)),
    "table": lambda x, at: Table(x),
    "examples": lambda x, at: list(x),
    "deque": lambda x, at: deque(x),
    "values": lambda x, at: dict(enumerate(x)).values(),
    "tuple": lambda x, at: tuple(x),
    "chunks": np.split,
    "numbers": lambda x, at: x.reshape(len(x), -1)[:, 0].tolist(),
    "rows": lambda x, at: x.tolist(),
}
TOGETHER = {
    "pairs": lambda xs, at: list(zip(*xs, strict=True)),
    "zip": lambda xs, at: zip(*xs, strict=True),
    "function of a zip": lambda xs, at: lambda: zip(*xs, strict=True),
    "one tuple": lambda xs, at: tuple(xs),
    "mapping": lambda xs, at: dict(enumerate(xs)),
    "arriving": lambda xs, at: lambda: list(zip(*(np.split(x, at) for x in xs), strict=True)),
}


def attempt(rng):
    """One attack: the words of a fault, or nothing; and whether batches came.

    What is said about chunks is true, or nothing is said. Chunks alone are said to be chunks:
    nothing else could tell.
    """
    m = int(rng.integers(1, 25))
    arrays, at = [examples(rng, m) for _ in range(rng.integers(1, 4))], cuts(rng, m)
    if rng.random() < 0.2:
        names = [str(rng.choice([*TOGETHER]))]
        given, true = [TOGETHER[names[0]](arrays, at)], None
    else:
        names = [str(rng.choice([*CONTAINERS])) for _ in arrays]
        given = [CONTAINERS[name](x, at) for name, x in zip(names, arrays, strict=True)]
        mixed = {"chunks", "examples", "deque", "values"} & set(names)
        true = {("chunks",): True}.get(tuple(mixed), None if "chunks" in mixed else False)
    say = rng.random() < 0.3 or set(names) == {"chunks"}
    chunks = true if say else None
    options = {"batch_size": int(rng.integers(1, 30)), "shuffle": rng.random() < 0.7, "rng": 1}
    said = f"{names} of shapes {[x.shape for x in arrays]}, cut at {at}, {options}, {chunks=}"
    try:
        batches = gpuopt.minibatches(*given, **options, chunks=chunks)
        epoch = [x if isinstance(x, tuple) else (x,) for x in batches]
    except (TypeError, ValueError) as error:
        return (f"{said}: {error}" if len(str(error)) >= 500 else None), False
    except Exception as error:
        return f"{said}: {type(error).__name__}: {error}", False
    came = []
    for batch in epoch:
        which = np.asarray(batch[0]).reshape(len(batch[0]), -1)[:, 0]
        came += [int(i) for i in which]
        for x, array in zip(batch, arrays, strict=True):
            right = array[which.astype(int)]
            if x.size != right.size or (np.asarray(x).reshape(right.shape) != right).any():
                return f"{said}: examples {which} came as {x}", True
    if sorted(came) != list(range(m)):
        return f"{said}: of {m} examples came {came}", True
    return None, True


@pytest.mark.parametrize("tries", [1_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_an_error_or_every_example_once(tries):
    rng, came = np.random.default_rng(tries), 0
    for _ in range(tries):
        fault, batches = attempt(rng)
        assert fault is None, fault
        came += batches
    assert came > tries / 10
