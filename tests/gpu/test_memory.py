"""After the first step nothing is allocated, gradients are not kept alive, and nothing leaks."""

import gc

import cupy
import numpy as np
import pytest

import gpuopt
from tests.gpu.tools import note

MIB = 2**20
OPTIONS = {
    "plain": {},
    "norm": {"max_norm": 1.0},
    "all": {"max_norm": 1.0, "max_value": 0.1, "skip_nonfinite": True, "zero_grads": True},
}


def ones(count=MIB):
    return cupy.asarray(np.ones(count, np.float32))


def in_use():
    cupy.cuda.Device().synchronize()
    pool = cupy.get_default_memory_pool()
    return pool.used_bytes(), pool.total_bytes()


@pytest.mark.parametrize("case", OPTIONS)
def test_steps_after_the_first_allocate_nothing(case):
    params, grads = [ones(), ones(33)], [ones(), ones(33)]
    opt = gpuopt.AdamW(params, average=0.9, backend="cupy")
    opt.step(grads, **OPTIONS[case])
    before, pinned = in_use(), cupy.get_default_pinned_memory_pool().n_free_blocks()
    for k in range(20):
        opt.lr = 0.001 * (k + 1)
        opt.step(grads, **OPTIONS[case])
        assert in_use() == before, f"step {k + 2}"
    assert cupy.get_default_pinned_memory_pool().n_free_blocks() == pinned


@pytest.mark.parametrize("case", OPTIONS)
def test_gradients_are_freed_when_their_owner_lets_go(gpu_backend, case):
    opt = gpuopt.AdamW(ones(), backend=gpu_backend)
    for k in range(3):
        g = ones()
        opt.step(g, **OPTIONS[case])
        before, size = in_use()[0], g.nbytes
        del g
        gc.collect()
        assert in_use()[0] == before - size, f"step {k + 1}"


def test_state_is_all_that_an_optimizer_costs():
    p, g = ones(64 * MIB // 4), ones(64 * MIB // 4)
    before = in_use()[0]
    opt = gpuopt.Adam(p, backend="cupy")
    opt.step(g, max_norm=1.0)
    overhead = in_use()[0] - before - 2 * p.nbytes
    note("memory beside the state", bytes=overhead, elements=p.size)
    assert overhead < MIB


def test_optimizers_made_and_let_go_leave_nothing(gpu_backend):
    p, g = ones(), ones()
    sizes = []
    for _ in range(30):
        opt = gpuopt.AdamW(p, average=0.9, backend=gpu_backend)
        opt.step(g, max_norm=1.0)
        opt.step(g, max_norm=1.0)
        del opt
        gc.collect()
        sizes.append(in_use())
    free = [cupy.cuda.runtime.memGetInfo()[0] for _ in range(1)]
    note("made and let go", backend=gpu_backend, first=sizes[2], last=sizes[-1], free=free[0])
    assert sizes[-1] == sizes[2]


def test_torch_tensors_are_not_kept_alive():
    from tests.optional import optional

    torch = optional("torch")
    if not torch.cuda.is_available():
        pytest.skip("NOT TESTED: this PyTorch sees no GPU")
    p, g = (torch.ones(MIB, device="cuda") for _ in range(2))
    opt = gpuopt.Adam(p, backend="cupy")
    opt.step(g)
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    del g
    gc.collect()
    assert torch.cuda.memory_allocated() == before - 4 * MIB
