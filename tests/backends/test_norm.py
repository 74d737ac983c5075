"""The CPU's norms: sums of squares of blocks, whose bits do not depend on the threads."""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt.backends import numba as backend
from gpuopt.kernels.norm_numba import BLOCK
from tests.parity.cases import SIZES

SIZES = [*SIZES, BLOCK - 1, BLOCK, BLOCK + 1, backend.NORM_CHUNK + 1, 400_003]


def draw(dtype):
    rng = np.random.default_rng(8)
    return [(rng.normal(size=n) * 10 ** rng.uniform(-3, 3, n)).astype(dtype) for n in SIZES]


def measured(name, grads):
    opt = gpuopt.SGD([np.zeros_like(g) for g in grads], lr=0.5, backend=name)
    opt.step(grads, max_norm=math.inf)
    return opt.grad_norm


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits_for_every_number_of_threads(dtype, monkeypatch):
    grads = draw(dtype)
    exact = math.sqrt(math.fsum(float(np.sum(g.astype("f8") ** 2)) for g in grads))
    found = set()
    for threads in (1, 2, 3, 4, 7):
        monkeypatch.setattr(backend.config, "NUMBA_NUM_THREADS", threads)
        found.add(measured("numba", grads))
    assert len(found) == 1
    assert found.pop() == pytest.approx(exact, rel=1e-7 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_one_bad_element_is_found_for_every_number_of_threads(bad, threads, monkeypatch):
    monkeypatch.setattr(backend.config, "NUMBA_NUM_THREADS", threads)
    for place in (0, backend.NORM_CHUNK, 399_999, 400_002):
        p, grads = [np.zeros(9, "f4"), np.zeros(400_003, "f4")], [np.ones(9, "f4"), None]
        grads[1] = np.ones(400_003, "f4")
        grads[1][place] = bad
        opt = gpuopt.SGD(p, lr=0.5, backend="numba")
        opt.step(grads, skip_nonfinite=True)
        assert opt.step_count == 0
        assert all((x == 0).all() for x in p)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_many_small_terms_are_not_lost(name):
    """A running float32 sum of 2^24 equal terms and more would stop growing."""
    g = np.full(20_000_000, 0.1, np.float32)
    assert measured(name, [g]) == pytest.approx(math.sqrt(2e7) * float(g[0]), rel=1e-6)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_one_huge_element_among_small_ones(name):
    for place in (0, BLOCK - 1, BLOCK, 9999):
        g = np.ones(10_000, np.float32)
        g[place] = 3e38
        assert measured(name, [g]) == pytest.approx(float(np.float32(3e38)), rel=1e-7)


@pytest.mark.parametrize("beside", [7, np.nan])
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_strided_blocks_read_their_own_elements_only(name, beside):
    for shape, view_of in (
        ((9000, 3), lambda a: a[:, 1]),
        ((300, 400), lambda a: a[::-2, 7:].T),
        ((40, 50, 60), lambda a: a[1:, ::3, ::-1]),
    ):
        whole = np.full(shape, beside, np.float32)
        view = view_of(whole)
        view[...] = np.random.default_rng(0).normal(size=view.shape)
        exact = math.sqrt(float(np.sum(view.astype("f8") ** 2)))
        assert measured(name, [view]) == pytest.approx(exact, rel=1e-7)
