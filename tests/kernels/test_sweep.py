"""The GPU sweep, run on the CPU behind the shim: every element right, and no other byte touched."""

from types import SimpleNamespace

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.backends.tables import DENSE
from gpuopt.kernels.launch import BLOCK, SHORTEST
from tests.without_gpu.cases import RULES, source

SIZES = [1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 255, 256, 257]
SIZES += [SHORTEST - 1, SHORTEST, SHORTEST + 1, 3 * SHORTEST + 1]
LR = 0.01
EPSILON = {np.float32: 2e-6, np.float64: 1e-14}


@pytest.fixture
def device(cupy_stand_in):
    """NumPy arrays as arrays on the "device", over the same memory."""
    return cupy_stand_in.ndarray


def numbers(rng, shape, dtype=np.float32):
    """Nonzero numbers of both signs, between 0.1 and 1 in size."""
    values = rng.uniform(0.1, 1, shape) * rng.choice([-1, 1], shape)
    if np.dtype(dtype).kind == "c":
        values = values + 1j * numbers(rng, shape, np.float64)
    return np.asarray(values, dtype)


def float64_run(rule, p, grads):
    """The formula itself in float64, on arrays: p and the state after all steps."""
    values = [p.astype(np.float64)] + [np.zeros(p.shape) for _ in rule.state]
    carried = rule.carried
    for t, g in enumerate(grads, 1):
        s = SimpleNamespace(**rule.scalars(LR, t, **carried))
        carried = {name: getattr(s, name) for name in carried}
        values = rule.update(values[0], g.astype(np.float64), *values[1:], s)
        values = values if isinstance(values, tuple) else (values,)
    return values


def decaying(rule):
    """The same rule with a weight decay, where it has one: each parity test needs it."""
    fields = {**vars(rule), "weight_decay": 0.01}
    return type(rule)(**{name: fields[name] for name in vars(rule)})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_every_rule_and_size_against_float64_and_numpy(rule, dtype, device):
    rng, rule = np.random.default_rng(1), decaying(rule)
    params = [numbers(rng, n, dtype) for n in SIZES]
    grads = [[numbers(rng, n, dtype) for n in SIZES] for _ in range(3)]
    ours, numpys = [p.copy() for p in params], [p.copy() for p in params]
    opt = gpuopt.Optimizer([device(p) for p in ours], rule, lr=LR, backend="cupy")
    reference = gpuopt.Optimizer(numpys, rule, lr=LR, backend="numpy")
    for step in grads:
        opt.step([device(g) for g in step])
        reference.step(step)
    for k, (p, key) in enumerate(zip(params, opt.state, strict=True)):
        exact, *state = float64_run(rule, p, [step[k] for step in grads])
        tolerance = EPSILON[dtype]
        np.testing.assert_allclose(ours[k], exact, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours[k], numpys[k], rtol=tolerance, atol=tolerance)
        for values, array in zip(state, opt.state[key].values(), strict=True):
            np.testing.assert_allclose(array.get(), values, rtol=tolerance, atol=tolerance)


LAYOUTS = {
    "transposed": (lambda a: a.T, (37, 70)),
    "permuted": (lambda a: a.transpose(2, 0, 1), (5, 7, 64)),
    "every second": (lambda a: a[::2], (301,)),
    "every second row": (lambda a: a[::2], (34, 65)),
    "a column": (lambda a: a[..., 1], (300, 3)),
    "a block": (lambda a: a[3:20, 5:60], (30, 70)),
    "backwards": (lambda a: a[::-1], (301,)),
    "backwards in the last axis": (lambda a: a[:, ::-2], (33, 64)),
    "from element 1": (lambda a: a[1:], (3 * SHORTEST + 2,)),
    "from element 3": (lambda a: a[3:], (258,)),
    "0-d": (lambda a: a[2, ...], (5,)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_touch_their_own_elements_only(layout, dtype, device):
    view_of, shape = LAYOUTS[layout]
    rng = np.random.default_rng(2)
    whole = numbers(rng, shape, dtype)
    expected, before = whole.copy(), whole.copy()
    opt = gpuopt.Adam(device(view_of(whole)), lr=LR, weight_decay=0.1, backend="cupy")
    reference = gpuopt.Adam(view_of(expected), lr=LR, weight_decay=0.1, backend="numpy")
    for order in "CF":  # a gradient unlike its parameter, and one like it
        g = numbers(rng, view_of(whole).shape, dtype)
        opt.step(device(g.copy(order=order)))
        reference.step(g)
    real = np.empty(0, dtype).real.dtype.type
    np.testing.assert_allclose(whole, expected, rtol=EPSILON[real], atol=EPSILON[real])
    swept = np.zeros(shape, bool)
    view_of(swept)[...] = True
    assert (whole[swept] != before[swept]).all()
    assert (whole[~swept] == before[~swept]).all()


@pytest.mark.parametrize("grad_order", ["C", "F"])
@pytest.mark.parametrize("param_order", ["C", "F"])
def test_gradients_in_another_order_than_their_parameter(param_order, grad_order, device):
    rng = np.random.default_rng(3)
    p = np.asarray(numbers(rng, (40, 65)), order=param_order)
    g = np.asarray(numbers(rng, (40, 65)), order=grad_order)
    expected = p - np.float32(LR) * g
    gpuopt.SGD(device(p), lr=LR, backend="cupy").step(device(g))
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_only_the_gradient_is_unaligned(shift, device):
    rng = np.random.default_rng(4)
    p, g = numbers(rng, 1000), numbers(rng, 1000 + shift)[shift:]
    expected = p - np.float32(LR) * g
    gpuopt.SGD(device(p), lr=LR, backend="cupy").step(device(g))
    np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_groups_have_their_own_row_of_scalars(count, device):
    p = [np.ones(100, np.float32) for _ in range(3)]
    groups = [{"params": [device(a)], "lr": 0.1 * (k + 1)} for k, a in enumerate(p[:count])]
    gpuopt.Optimizer(groups, rules.SGD(), lr=1.0, backend="cupy").step(
        [[device(np.ones(100, np.float32))] for _ in groups]
    )
    for k in range(count):
        np.testing.assert_allclose(p[k], 1 - 0.1 * (k + 1), rtol=1e-6)


def test_nan_and_infinity_stay_what_they_are(device):
    special = np.array([np.nan, np.inf, -np.inf, 0, 1e-42, 1], np.float32)
    for rule in (rules.Adam(amsgrad=True), rules.RMSprop(centered=True), rules.SGD()):
        p, expected = np.ones(6, np.float32), np.ones(6, np.float32)
        opt = gpuopt.Optimizer(device(p), rule, lr=LR, backend="cupy")
        reference = gpuopt.Optimizer(expected, rule, lr=LR, backend="numpy")
        for g in (special, np.ones(6, np.float32)):
            opt.step(device(g))
            reference.step(g)
        np.testing.assert_allclose(p, expected, rtol=1e-6)


@pytest.mark.parametrize("start", [2**31 - 4, 2**31, 2**33 + 4, 2**40])
@pytest.mark.parametrize("layout", ["dense", "unaligned", "strided"])
def test_elements_past_2_to_the_31(layout, start, cupy_stand_in):
    """A chunk far into a tensor whose first element would lie far below the memory that is here."""
    p, g = np.ones(1001, np.float32), np.ones(1001, np.float32)
    skip, columns, step = int(layout == "unaligned"), 4, 3 if layout == "strided" else 1
    count = 1000 // step // columns * columns
    # Strided: rows of 4 elements, 12 apart, of which every third belongs to the tensor.
    layouts = np.array([2, 2**40, columns, *(step * columns, step) * 2])
    base = [a[skip:].ctypes.data - 4 * step * start for a in (p, g)]
    tensors = np.array([[*base, 0, 0 if layout == "strided" else DENSE]])
    module = cupy_stand_in.RawModule(code=source(rules.SGD()), options=("--std=c++17",))
    kernel = module.get_function("sweep")
    names = tuple(rules.SGD().scalars(0.5, 1))
    table = np.array([[0.5 if name == "lr" else 0 for name in names]], np.float32)
    chunks = np.array([[0, start, count]])
    given = [cupy_stand_in.asarray(x) for x in (tensors, chunks, layouts, table)]
    kernel((2,), (BLOCK,), (given[0], given[1], np.int64(1), given[2], given[3]))
    expected = np.ones(1001, np.float32)
    expected[skip : skip + count * step : step] = 0.5
    assert p.tolist() == expected.tolist()
