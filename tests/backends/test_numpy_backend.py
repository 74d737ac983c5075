"""The NumPy backend: bounded scratch memory, and formulas that return their arguments."""

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.backends.numpy import BLOCK


@pytest.mark.parametrize("rule", [rules.SGD(), rules.Adam(amsgrad=True, weight_decay=0.1)])
@pytest.mark.parametrize(
    ("dtype", "view"), [("f4", slice(None)), ("f2", slice(None)), ("f4", slice(None, None, 2))]
)
def test_scratch_does_not_grow_with_the_tensors(rule, dtype, view):
    peaks = []
    for size in (20 * BLOCK, 160 * BLOCK):
        p, g = np.ones(size, dtype)[view], np.ones(size, dtype)[view]
        opt = gpuopt.Optimizer(p, rule, lr=0.1, backend="numpy")
        opt.step(g)
        tracemalloc.start()
        opt.step(g)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 25 * 4 * BLOCK  # some twenty arrays of one block of float32
    assert peaks[1] < 1.2 * peaks[0]


@dataclass(frozen=True)
class Turn(gpuopt.Rule):
    """Every argument comes back in another's place."""

    @property
    def state(self):
        return ("a", "b")

    def scalars(self, lr, t):
        return {"lr": lr}

    def update(self, p, g, a, b, s):
        return a + s.lr * g, b, p


def test_arguments_returned_in_another_place(backend):
    p = np.array([1, 2, 3], "f4")
    opt = gpuopt.Optimizer(backend.asarray(p), Turn(), lr=1, backend=backend.name)
    seen = []
    for _ in range(4):
        opt.step(backend.asarray(np.full(3, 10, "f4")))
        state = opt.state["0"]
        seen.append([float(p[0]), *(float(backend.to_numpy(state[x])[0]) for x in "ab")])
    assert seen == [[10, 0, 1], [10, 1, 10], [11, 10, 10], [20, 10, 11]]


def test_the_gradient_is_only_read(backend):
    g = np.arange(5, dtype="f4")
    g.flags.writeable = backend.name == "cupy"
    p = np.ones(5, "f4")
    opt = gpuopt.Adam(backend.asarray(p), weight_decay=0.5, maximize=True, backend=backend.name)
    for _ in range(2):
        opt.step(backend.asarray(g))
    np.testing.assert_array_equal(g, np.arange(5))
    assert np.all(p != 1)
