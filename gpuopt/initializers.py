"""Weights to start from: random, so that units differ, and of a size that signals keep.

A sum of n_in inputs has n_in times the variance of one, so weights of variance 1 / n_in keep the
size of what passes through a layer; ReLU throws half of it away and wants 2 / n_in. With other
variances, activations and gradients vanish or explode with depth. Biases start at `numpy.zeros`.

Every function here takes and gives the same. shape: of the weights, (n_out, n_in) for W @ X with
examples in columns, and (n_out, n_in, height, width) for a convolution, where each place of the
kernel counts. in_axis, out_axis: where n_in and n_out are in other layouts: 0 and 1 for X @ W, and
-2 and -1 for Keras' (height, width, n_in, n_out). rng: None, a seed, or a NumPy Generator.
distribution: "normal" or "uniform", of the same variance and mean 0. The result is a NumPy array;
its numbers are drawn in float64, so another dtype or device changes no more than their rounding.

Raises TypeError or ValueError for a shape without two such axes, an axis of length 0, a dtype that
is not floating, and another distribution.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gpuopt.checks import generator, whole

Random = int | np.random.Generator | None


def he(
    shape: Sequence[int],
    rng: Random = None,
    dtype: Any = np.float32,
    distribution: str = "normal",
    in_axis: int = 1,
    out_axis: int = 0,
) -> np.ndarray:
    """Variance 2 / n_in: for ReLU. He et al. 2015."""
    return drawn(lambda n_in, _: 2 / n_in, shape, rng, dtype, distribution, in_axis, out_axis)


def xavier(
    shape: Sequence[int],
    rng: Random = None,
    dtype: Any = np.float32,
    distribution: str = "normal",
    in_axis: int = 1,
    out_axis: int = 0,
) -> np.ndarray:
    """Variance 2 / (n_in + n_out): for tanh, with a thought for the gradients on their way back.

    Glorot & Bengio 2010. What deeplearning.ai's course calls Xavier is `lecun`.
    """

    def variance(n_in: int, n_out: int) -> float:
        return 2 / (n_in + n_out)

    return drawn(variance, shape, rng, dtype, distribution, in_axis, out_axis)


def lecun(
    shape: Sequence[int],
    rng: Random = None,
    dtype: Any = np.float32,
    distribution: str = "normal",
    in_axis: int = 1,
    out_axis: int = 0,
) -> np.ndarray:
    """Variance 1 / n_in: for tanh and without an activation. LeCun et al. 1998.

    deeplearning.ai's course, Improving Deep Neural Networks, calls it Xavier initialisation.
    """
    return drawn(lambda n_in, _: 1 / n_in, shape, rng, dtype, distribution, in_axis, out_axis)


def drawn(
    variance: Callable[[int, int], float],
    shape: Sequence[int],
    rng: Random,
    dtype: Any,
    distribution: str,
    in_axis: int,
    out_axis: int,
) -> np.ndarray:
    """An array of `shape` with mean 0 and the variance(n_in, n_out)."""
    shape = lengths(shape)
    fans = fans_of(shape, in_axis, out_axis)
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"dtype must be a floating type, as numpy.float32, got {np.dtype(dtype)}")
    if distribution not in ("normal", "uniform"):
        raise ValueError(f"distribution must be 'normal' or 'uniform', got {distribution!r}")
    random, deviation = generator(rng), np.sqrt(variance(*fans))
    if distribution == "normal":
        values = deviation * random.standard_normal(shape)
    else:
        bound = np.sqrt(3) * deviation
        values = random.uniform(-bound, bound, shape)
    with np.errstate(under="ignore"):  # numbers near 0 that a narrow type does not have
        return values.astype(dtype, copy=False)


def lengths(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise TypeError(f"shape must be a tuple such as (n_out, n_in), got {shape!r}")
    found = tuple(whole(f"shape[{k}]", length, 1) for k, length in enumerate(shape))
    if len(found) < 2:
        raise ValueError(
            f"shape {found} has no n_in and n_out; for biases take numpy.zeros, which is usual"
        )
    return found


def fans_of(shape: tuple[int, ...], in_axis: int, out_axis: int) -> tuple[int, int]:
    """n_in and n_out, each times the number of places of the kernel of a convolution."""
    axes = []
    for name, value in (("in_axis", in_axis), ("out_axis", out_axis)):
        axis = whole(name, value)
        if not -len(shape) <= axis < len(shape):
            raise ValueError(f"{name} is {axis}, but shape {shape} has {len(shape)} axes")
        axes.append(axis % len(shape))
    if axes[0] == axes[1]:
        raise ValueError(
            f"in_axis and out_axis are both axis {axes[0]} of {shape}; they must differ"
        )
    n_in, n_out = (shape[axis] for axis in axes)
    places = math.prod(shape) // (n_in * n_out)
    return n_in * places, n_out * places
