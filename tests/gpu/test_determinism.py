"""The same inputs give the same bits: on every run, stream and order of tensors, norm included."""

import cupy
import numpy as np
import pytest

import gpuopt
from gpuopt import backends

SIZES = (300_007, 5, 65_536, 33, 1_000_003, 2049)
REPETITIONS = 20


def numbers(seed):
    rng = np.random.default_rng(seed)
    return {str(n): rng.standard_normal(n).astype(np.float32) for n in SIZES}


def run(backend, order=None, stream=None):
    """The bytes of p and state by parameter, and the norm, after three steps."""
    names = [str(SIZES[k]) for k in (order if order is not None else range(len(SIZES)))]
    first, second = numbers(1), numbers(2)
    params = {name: cupy.asarray(first[name]) for name in names}
    grads = {name: cupy.asarray(second[name]) for name in names}
    cupy.cuda.Device().synchronize()
    opt = gpuopt.AdamW(params, lr=0.01, backend=backend)
    with stream or cupy.cuda.get_current_stream():
        for _ in range(3):
            opt.step(grads, max_norm=1.0)
        norm = opt.grad_norm
    cupy.cuda.Device().synchronize()
    arrays = {(name, "p"): p for name, p in params.items()}
    arrays |= {(n, key): a for n, buffers in opt.state.items() for key, a in buffers.items()}
    to_host = backends.load(backend).to_host
    return {key: to_host(a).tobytes() for key, a in arrays.items()}, norm


def test_twenty_runs(gpu_backend):
    first = run(gpu_backend)
    for repetition in range(1, REPETITIONS):
        assert run(gpu_backend) == first, f"repetition {repetition}"


def test_ten_orders_of_the_tensors(gpu_backend):
    first = run(gpu_backend)
    rng = np.random.default_rng(0)
    for _ in range(10):
        order = rng.permutation(len(SIZES))
        assert run(gpu_backend, order=order) == first, f"order {order}"


@pytest.mark.parametrize("non_blocking", [False, True])
def test_streams(non_blocking):
    first = run("cupy")
    for _ in range(5):
        assert run("cupy", stream=cupy.cuda.Stream(non_blocking=non_blocking)) == first


def test_numbers_that_follow_one_another_and_those_that_do_not():
    """The norm's bits do not depend on how a gradient lies."""
    host = np.random.default_rng(3).standard_normal(200_006).astype(np.float32)
    norms = []
    for stride in (1, 2):
        g = cupy.asarray(np.repeat(host, stride))[::stride]
        opt = gpuopt.SGD(cupy.asarray(host), backend="cupy")
        opt.step(g, max_norm=float("inf"))
        norms.append(opt.grad_norm)
    assert norms[0] == norms[1]
