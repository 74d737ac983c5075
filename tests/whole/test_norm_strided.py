"""The norm of gradients that are not dense and are cut into several chunks."""

import math

import numpy as np
import pytest

import gpuopt

# On the CPU a chunk of the norm has 65,536 elements; on a GPU 2,048 of so few.
LARGE, SMALL = (500, 401), (60, 77)
VIEWS = {
    "every second column": lambda a: a[:, ::2],
    "backwards": lambda a: a[::-1, ::-2],
    "transposed": lambda a: a[:, ::2].T,
    "rows": lambda a: a[::2],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_strided_gradient_of_several_chunks(dtype, view, backend):
    shape = SMALL if backend.name == "numba-cuda" else LARGE
    rng = np.random.default_rng(0)
    whole = np.full(shape, 1e6, dtype)  # an element that is not the gradient's would show
    g = VIEWS[view](whole)
    g[...] = rng.normal(size=g.shape) * np.exp(rng.normal(size=g.shape))
    assert g.size > (2048 if shape == SMALL else 65_536)
    for p in (np.zeros(g.shape, dtype), np.zeros(g.T.shape, dtype).T):
        opt = gpuopt.SGD(backend.asarray(p), lr=0.5, backend=backend.name)
        opt.step(backend.asarray(g), max_norm=math.inf)
        assert opt.grad_norm == pytest.approx(np.linalg.norm(g.astype("f8")), rel=1e-6)
