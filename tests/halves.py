"""Parameters of 16-bit floats: their dtypes, and what a step of the reference gives."""

from types import SimpleNamespace

import numpy as np

from tests.optional import optional

HALVES = ("float16", "bfloat16")


def dtype_of(name):
    """NumPy's dtype of that name; bfloat16 is from ml_dtypes."""
    return np.dtype(optional("ml_dtypes").bfloat16 if name == "bfloat16" else name)


def numbers(rng, shape, dtype):
    """Nonzero numbers of both signs, between 0.1 and 2 in size."""
    values = rng.uniform(0.1, 2, shape) * rng.choice([-1, 1], shape)
    return np.asarray(values).astype(dtype)


def step(rule, p, g, state, lr, t):
    """The formula in float64 on widened values: p before it is rounded, and the new state."""
    s = SimpleNamespace(**rule.scalars(lr, t))
    new = rule.update(p.astype("f8"), g.astype("f8"), *[x.astype("f8") for x in state], s)
    new = new if isinstance(new, tuple) else (new,)
    return new[0], list(new[1:])


def assert_rounded(p, exact):
    """`p` is `exact` rounded once; its neighbour only where `exact` is all but half way between."""
    rounded = exact.astype("f4").astype(p.dtype)
    error = 3e-7 + 1e-6 * np.abs(exact)  # of float32 arithmetic on numbers of about one
    low, high = ((exact + sign * error).astype("f4").astype(p.dtype) for sign in (-1, 1))
    right = (low <= p) & (p <= high)
    assert right.all(), (p[~right], exact[~right])
    assert (p != rounded).sum() <= 2 + p.size / 10
