"""More than 2^31 elements, byte offsets past 2^32: every element of every array is checked."""

import cupy
import numpy as np
import pytest

import gpuopt
from tests.gpu.large import PERIOD, check, fill, values

COUNT = 2**31 + 2**20 + 5
STEPS = 2


@pytest.fixture(autouse=True)
def memory():
    """The pool gives back what another test held, and what this one did."""
    cupy.get_default_memory_pool().free_all_blocks()
    yield
    cupy.get_default_memory_pool().free_all_blocks()


def room_for(arrays, count=COUNT):
    needed = (arrays * 4 * count) + 2**30
    free = cupy.cuda.runtime.memGetInfo()[0]
    if free < needed:
        pytest.skip(f"NOT TESTED: needs {needed >> 30} GiB of GPU memory, {free >> 30} are free")


def filled(seed, count=COUNT):
    x = cupy.empty(count, np.float32)
    fill(x, values(seed))
    return x


def expected(make, **options):
    """p after the steps, of one period, by the same backend and by NumPy."""
    both = []
    for backend, move in (("cupy", cupy.asarray), ("numpy", np.array)):
        p = move(values(1))
        opt = make(p, backend)
        for _ in range(STEPS):
            opt.step(move(values(2)), **options)
        both.append(cupy.asnumpy(p) if backend == "cupy" else p)
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5)
    return both[0]


MAKERS = {
    "SGD": (lambda p, backend: gpuopt.SGD(p, lr=0.1, backend=backend), 2),
    "Adam": (lambda p, backend: gpuopt.Adam(p, lr=0.1, weight_decay=0.01, backend=backend), 4),
}


@pytest.mark.parametrize("rule", MAKERS)
def test_every_element_of_one_tensor(rule):
    make, arrays = MAKERS[rule]
    room_for(arrays)
    p, g = filled(1), filled(2)
    opt = make(p, "cupy")
    for _ in range(STEPS):
        opt.step(g)
    check(p, expected(make))
    check(g, values(2))


def test_norm_clipping_and_zeroing():
    room_for(2)
    p, g = filled(1), filled(2)
    opt = gpuopt.SGD(p, lr=0.5, backend="cupy")
    opt.step(g, max_norm=float("inf"), zero_grads=True)
    squares = np.append(np.zeros(1), np.cumsum(values(2).astype(np.float64) ** 2))
    whole, rest = divmod(COUNT, PERIOD)
    assert opt.grad_norm == pytest.approx(np.sqrt(whole * squares[-1] + squares[rest]), rel=1e-6)
    check(
        p, values(1) - np.float32(0.5) * values(2)
    )  # half of it is exact, so contraction is no matter
    check(g, np.zeros(PERIOD, np.float32))


def test_an_infinity_in_the_last_element_skips_the_step():
    room_for(2)
    p, g = filled(1), filled(2)
    g[-1:] = np.inf
    opt = gpuopt.SGD(p, lr=0.5, backend="cupy")
    opt.step(g, skip_nonfinite=True)
    check(p, values(1))
    assert opt.step_count == 0
    g[-1:] = 1.0
    opt.step(g, skip_nonfinite=True)
    assert opt.step_count == 1
    assert float(cupy.asnumpy(p[:1])[0]) != values(1)[0]


def test_every_second_element_of_a_larger_array():
    """The elements are fewer than 2^31, their places are not."""
    room_for(2)
    base, g = filled(3), filled(2, (COUNT + 1) // 2)
    p = base[::2]
    between = base[1::2]
    fill(p, values(1))
    fill(between, values(4))
    opt = gpuopt.SGD(p, lr=0.5, backend="cupy")
    opt.step(g)
    check(p, values(1) - np.float32(0.5) * values(2))
    check(between, values(4))


def test_many_tensors_that_are_large_together():
    room_for(2)
    sizes = [2**29 + 7] * 4 + [3, 0, 2**20]
    params, grads = [filled(1, n) for n in sizes], [filled(2, n) for n in sizes]
    opt = gpuopt.SGD(params, lr=0.5, backend="cupy")
    opt.step(grads, max_norm=float("inf"))
    for p in params:
        if p.size:
            check(p, values(1) - np.float32(0.5) * values(2))
    assert np.isfinite(opt.grad_norm)
