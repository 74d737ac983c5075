"""Normalising inputs: every feature to mean 0 and variance 1, as the training set has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuopt.arrays import array_module, as_array, is_array, on_host
from gpuopt.checks import whole

BLOCK = 2**20  # elements read at once: 8 MB in float64
SHOWN = 5  # features in a message


@dataclass(frozen=True, eq=False)
class Normalizer:
    """(x - mean) / std for every feature: see `normalizer`.

    mean, std: NumPy arrays of one example's shape, float64; std is the divisor, 1 for features that
    are constant in the training set. axis: of the examples.
    """

    mean: np.ndarray
    std: np.ndarray
    axis: int = 0

    def __call__(self, X: Any) -> Any:
        """`X` normalised: a training set, a test set, one mini-batch, with examples along `axis`.

        A new array on X's device and of its dtype, float32 where X holds integers; it is computed
        in float64. A memory-mapped X is read whole: pass its mini-batches. ValueError for other
        features than the training set's.
        """
        X, xp, mean, std = self._beside(X)
        with np.errstate(under="ignore"):
            return ((xp.asarray(X, np.float64) - mean) / std).astype(result_type(X))

    def inverse(self, X: Any) -> Any:
        """What becomes `X` when it is normalised, of X's dtype, and but for its rounding."""
        X, xp, mean, std = self._beside(X)
        with np.errstate(under="ignore"):
            return (xp.asarray(X, np.float64) * std + mean).astype(result_type(X))

    def _beside(self, X: Any) -> tuple[Any, Any, Any, Any]:
        """X as an array, its module, and there mean and std with the axes of X."""
        X = as_array(X)
        shape = checked(X, self.axis)
        if shape != self.mean.shape:
            raise ValueError(
                f"X has shape {X.shape}: examples along axis {self.axis} of shape {shape}, but "
                f"those of the training set have {self.mean.shape}"
            )
        xp = array_module(X)
        return X, xp, *(xp.asarray(np.expand_dims(a, self.axis)) for a in (self.mean, self.std))


def normalizer(X: Any, axis: int = 0) -> Normalizer:
    """A function that normalises inputs as the training set `X` wants it.

        mu = 1/m sum_i x_i        sigma^2 = 1/m sum_i (x_i - mu)^2        x <- (x - mu) / sigma

    for each feature by itself, over the m examples along `axis`, as in `gpuopt.minibatches`:
    `axis=0` for (m, n_x), `axis=1` for examples in columns, (n_x, m); examples may have any shape.
    Apply the same function to the test set. A feature that is constant gets sigma = 1.
    Source: deeplearning.ai, Improving Deep Neural Networks.

    X: a NumPy or CuPy array, or a memory-mapped one: it is read once, a few megabytes at a time. A
    table of pandas or polars is taken as its `to_numpy()`, and what is normalised is an array.
    Sums are of float64, and of differences from a block's mean (Chan, Golub & LeVeque 1983), so a
    large mean does not harm.

    Raises TypeError or ValueError for what holds no real numbers, has no such axis or no examples,
    and, naming features, for NaN, infinity and numbers whose squares overflow.
    """
    X = as_array(X)
    checked(X, axis)
    xp, count, mean, squares, low, high = array_module(X), 0, 0.0, 0.0, np.inf, -np.inf
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for block in blocks(X, axis):
            here = block.mean(axis=axis, keepdims=True)
            around = ((block - here) ** 2).sum(axis=axis)
            more, apart = block.shape[axis], here.squeeze(axis) - mean
            share = more / (count + more)
            mean = mean + share * apart
            squares = squares + around + count * share * apart**2
            low = xp.minimum(low, block.min(axis=axis))
            high = xp.maximum(high, block.max(axis=axis))
            count += more
        low, high, mean, variance = map(on_host, (low, high, mean, squares / count))
        constant = low == high  # exactly: rounding of the mean would show as deviations
        mean, std = np.where(constant, low, mean), np.where(constant, 1.0, np.sqrt(variance))
    refuse(~(np.isfinite(low) & np.isfinite(high)), "NaN or infinity", "fill or remove them")
    too_large = "numbers too large to be normalised"
    refuse(~(np.isfinite(mean) & np.isfinite(std)), too_large, "divide by their range first")
    too_small = "numbers whose differences are too small to be squared"
    refuse(std == 0, too_small, "multiply them by a large number first")
    return Normalizer(mean, std, axis)


def checked(X: Any, axis: int) -> tuple[int, ...]:
    """The shape of one example. Raises for what holds no examples along `axis`."""
    if not is_array(X) or getattr(X.dtype, "kind", "") not in tuple("fiub"):
        what = f"an array of {X.dtype}" if is_array(X) else f"a {type(X).__name__}"
        mend = "" if is_array(X) else "; try numpy.asarray(X)"
        raise TypeError(f"X must be a NumPy or CuPy array of real numbers, got {what}{mend}")
    shape = list(X.shape)
    if not -len(shape) <= whole("axis", axis) < len(shape):
        raise ValueError(f"X has shape {X.shape}, so it has no axis {axis}")
    if not shape.pop(axis):
        raise ValueError(f"X has shape {X.shape}: there are no examples along axis {axis}")
    return tuple(shape)


def blocks(X: Any, axis: int) -> Iterator[Any]:
    """The examples in float64, so many at a time that a block is not large."""
    xp, count = array_module(X), X.shape[axis]
    step = max(1, BLOCK * count // max(1, X.size))
    for start in range(0, count, step):
        which = (slice(None),) * (axis % X.ndim) + (slice(start, start + step),)
        yield xp.asarray(X[which], np.float64)


def refuse(bad: np.ndarray, what: str, mend: str) -> None:
    if bad.any():
        places = [tuple(map(int, place)) for place in np.argwhere(bad)]
        named = ", ".join(str(p[0] if len(p) == 1 else p) for p in places[:SHOWN])
        more = ", ..." if len(places) > SHOWN else ""
        raise ValueError(
            f"X has {what} in {len(places)} of {bad.size} features, in {named}{more}; {mend}"
        )


def result_type(X: Any) -> np.dtype[Any]:
    return X.dtype if X.dtype.kind == "f" else np.dtype(np.float32)
