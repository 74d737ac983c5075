"""A `max_value` that float32 cannot hold clips nothing, and warns of nothing."""

import math

import numpy as np
import pytest

import gpuopt

LARGEST = float(np.finfo(np.float32).max)
OPTIONS = [{}, {"max_norm": math.inf}, {"skip_nonfinite": True}, {"loss_scale": 2.0}]


@pytest.mark.parametrize("max_value", [LARGEST, 3.5e38, 1e300])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_bound_past_float32_clips_nothing(options, max_value, backend):
    """Any warning fails a test here."""
    p, q = np.ones(4, np.float32), np.ones(4, np.float32)
    g = np.array([1, -1e18, 1e18, 0], np.float32)
    bounded = gpuopt.SGD(backend.asarray(p), lr=2.0**-50, backend=backend.name)
    free = gpuopt.SGD(backend.asarray(q), lr=2.0**-50, backend=backend.name)
    for _ in range(2):
        bounded.step(backend.asarray(g), max_value=max_value, **options)
        free.step(backend.asarray(g), **options)
    assert (q != 1).any()
    assert p.tolist() == q.tolist()
    assert bounded.step_count == 2


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of Numba's simulator
@pytest.mark.parametrize("options", [{}, {"max_norm": math.inf}], ids=str)
def test_an_infinite_gradient_is_clipped_to_the_largest_number(options, backend):
    """On a GPU too, whether the host or the GPU itself works out the bound."""
    p = np.zeros(2, np.float32)
    opt = gpuopt.SGD(backend.asarray(p), lr=1.0, backend=backend.name)
    opt.step(backend.asarray(np.array([np.inf, -np.inf], "f4")), max_value=1e300, **options)
    assert p.tolist() == [-LARGEST, LARGEST]
