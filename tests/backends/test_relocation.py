"""Steps whose caller says at which addresses the gradients are: they are read there.

`gpuopt.torch` says so wherever a backend reads by address; the numpy backend does not.
"""

import math

import numpy as np
import pytest

import gpuopt
from gpuopt.options import step_options

SIZES = (5, 0, 70)


def step_at(opt, backend, arrays, options, told):
    """A step whose gradients are over these NumPy arrays; `told`: it is told their addresses."""
    addresses = np.array([g.ctypes.data for g in arrays])
    told = told and opt._backend.by_address
    opt._stepper.step(tuple(map(backend.asarray, arrays)), options, addresses if told else None)


class Moving:
    """A plain gradient descent of rate 1 from 0, which is told where its gradients are.

    All gradients are kept, so that an address that is out of date reads an earlier one.
    """

    def __init__(self, backend):
        self.backend, self.made = backend, []
        self.params = [np.zeros(n, np.float32) for n in SIZES]
        self.opt = gpuopt.SGD([backend.asarray(p) for p in self.params], lr=1.0, backend=backend[0])

    def step(self, value, max_norm=None, again=None):
        """A step with new gradients, or with those of step number `again`."""
        if again is None:
            self.made.append([np.full(n, value, np.float32) for n in SIZES])
        arrays = self.made[-1 if again is None else again]
        options = step_options(self.opt._backend, max_norm, None, None, False, False)
        step_at(self.opt, self.backend, arrays, options, told=len(self.made) > 1)

    def taken(self):
        """The sum of all gradients so far, each element's; they must agree."""
        values = {-float(x) for p in self.params for x in p}
        assert len(values) == 1, values
        return values.pop()


@pytest.fixture
def moving(backend):
    return Moving(backend)


@pytest.mark.parametrize("max_norm", [None, math.inf])
def test_gradients_that_have_moved_are_read_where_they_are(max_norm, moving):
    for value in (1, 2, 4, 8):
        moving.step(value, max_norm)
    assert moving.taken() == 15
    moving.step(None, max_norm, again=1)
    assert moving.taken() == 17
    moving.step(None, max_norm, again=1)
    assert moving.taken() == 19
    for value in (16, 32):  # after two steps with the same, whose addresses need not be sent again
        moving.step(value, max_norm)
    assert moving.taken() == 67


def test_moved_gradients_between_steps_with_and_without_a_norm(moving):
    for value, max_norm in ((1, None), (2, math.inf), (4, None), (8, math.inf), (16, math.inf)):
        moving.step(value, max_norm)
        if max_norm:
            assert moving.opt.grad_norm == pytest.approx(value * math.sqrt(sum(SIZES)))
    assert moving.taken() == 31


def test_moved_gradients_of_several_sweeps(backend):
    """Those of the second dtype alone have moved."""
    params = [np.zeros(4, dtype) for dtype in ("f4", "f8")]
    opt = gpuopt.SGD([backend.asarray(p) for p in params], lr=1.0, backend=backend.name)
    kept, first = [], np.ones(4, "f4")
    options = step_options(opt._backend, None, None, None, False, False)
    for value in (1, 2, 4):
        kept.append(np.full(4, value, "f8"))
        step_at(opt, backend, [first, kept[-1]], options, told=value > 1)
    assert params[0].tolist() == [-3] * 4
    assert params[1].tolist() == [-7] * 4
