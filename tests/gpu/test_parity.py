"""Every rule, dtype and layout on a GPU against the numpy backend: how many ulps apart."""

import cupy
import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from tests.gpu.tools import ULPS, every_rule, fullest, largest_ulps, note, on_gpu, on_numpy, start

RULES, FULLEST = every_rule(), fullest()
STEPS = 10
CASES = [(label, "float32") for label in RULES]
CASES += [(label, dtype) for label in FULLEST for dtype in ("float64", "complex64", "complex128")]


@pytest.mark.parametrize(("label", "dtype"), CASES, ids=[f"{a}-{b}" for a, b in CASES])
def test_ten_steps(gpu_backend, label, dtype):
    rule = (RULES | FULLEST)[label]
    params, grads = start(rule, dtype, STEPS)
    theirs = on_numpy(rule, params, grads)
    ours = on_gpu(rule, params, grads, gpu_backend)
    ulps = largest_ulps(ours, theirs)
    note("parity", backend=gpu_backend, rule=label, dtype=dtype, ulps=ulps, steps=STEPS)
    assert max(ulps.values()) <= ULPS, ulps
    assert ours.opt.backend == gpu_backend


def itself(a):
    return a


def turned(a):
    return a.T


# for p and for g: the shape of the memory, and the view of it
LAYOUTS = {
    "C and F": ((40, 50), itself, (50, 40), turned),
    "F and C": ((50, 40), turned, (40, 50), itself),
    "F and F": ((50, 40), turned, (50, 40), turned),
    "three axes, F and F": ((5, 6, 7), turned, (5, 6, 7), turned),
    "every second": ((10_001,), lambda a: a[::2], (5001,), itself),
    "backwards": ((7777,), lambda a: a[::-1], (7777,), itself),
    "last axis": ((300, 20, 4), lambda a: a[..., 0], (300, 20), itself),
    "columns": ((64, 100), lambda a: a[:, 3:90], (64, 90), lambda a: a[:, 3:]),
    "from element 1": ((10_001,), lambda a: a[1:], (10_003,), lambda a: a[3:]),
    "one row for all": ((1, 1), itself, (1, 1), turned),
}


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_nothing_outside_a_view_is_written(gpu_backend, layout, dtype):
    shape, view, g_shape, g_view = LAYOUTS[layout]
    count, g_count = int(np.prod(shape)), int(np.prod(g_shape))
    (base,), ((g_base,),) = start(rules.AdamW(), dtype, 1, [max(count, g_count)])
    p_before, g_before = base[:count].reshape(shape), g_base[:g_count].reshape(g_shape)
    host, device = p_before.copy(), cupy.asarray(p_before)
    g_device = cupy.asarray(g_before)
    theirs = gpuopt.AdamW(view(host), lr=0.1, backend="numpy")
    ours = gpuopt.AdamW(view(device), lr=0.1, backend=gpu_backend)
    for _ in range(3):
        theirs.step(g_view(g_before), max_norm=1.0)
        ours.step(g_view(g_device), max_norm=1.0)
    found = cupy.asnumpy(device)
    np.testing.assert_allclose(found, host, rtol=1e-5, atol=1e-6)
    inside = np.zeros(shape, bool)
    view(inside)[...] = True
    assert found[~inside].tobytes() == p_before[~inside].tobytes()
    assert (found[inside] != p_before[inside]).all()
    assert cupy.asnumpy(g_device).tobytes() == g_before.tobytes()
    assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-6)
