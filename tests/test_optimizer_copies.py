"""Copies and pickles of an optimizer, and arrays that other libraries lend."""

import copy
import pickle
import sys

import numpy as np
import pytest

import gpuopt
from gpuopt.backends import bfloat16
from tests.optional import optional


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_copy_updates_its_own_arrays(duplicate, name):
    p, g = np.ones(5, np.float32), np.full(5, 0.5, np.float32)
    opt = gpuopt.Momentum(p, lr=0.5, backend=name)
    opt.step(g)
    q, other = duplicate((p, opt))
    before = p.copy()
    other.step(g)
    np.testing.assert_array_equal(p, before)
    opt.step(g)
    np.testing.assert_array_equal(p, q)
    assert (p != before).all()


class Lent:
    """An array that is only reached through DLPack; `fresh` lends a new buffer each time."""

    def __init__(self, values: np.ndarray, fresh: bool) -> None:
        self.values, self.fresh = values, fresh

    shape = property(lambda self: self.values.shape)
    dtype = property(lambda self: self.values.dtype)

    def __dlpack_device__(self):
        return 1, 0

    def __dlpack__(self, **options):
        values = self.values.copy() if self.fresh else self.values
        return values.__dlpack__(**options)


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_a_lent_gradient_is_held_until_it_is_read(name):
    p = np.zeros(100_000, np.float32)
    opt = gpuopt.SGD(p, lr=1.0, backend=name)
    for step in range(1, 4):
        opt.step(Lent(np.full(100_000, -1, np.float32), fresh=True))
        np.testing.assert_array_equal(p, step)


def test_a_lent_parameter_is_updated_where_it_lies():
    if np.lib.NumpyVersion(np.__version__) < "2.1.0":
        pytest.skip("NumPy before 2.1 reads DLPack arrays as read-only")
    p = np.zeros(5, np.float32)
    gpuopt.SGD(Lent(p, fresh=False), lr=1.0).step(np.ones(5, np.float32))
    np.testing.assert_array_equal(p, -1)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_tensors_of_16_bit_floats_are_updated_where_they_lie(name):
    torch = optional("torch")
    whole = torch.ones(5, 6, dtype=getattr(torch, name))
    p = whole.T[::2].requires_grad_()
    opt = gpuopt.SGD(p, lr=0.5)
    opt.step(torch.ones_like(p))
    assert opt.backend == "numba"
    assert whole.tolist() == [[0.5, 1.0] * 3] * 5


def test_bfloat16_tensors_need_ml_dtypes(monkeypatch):
    torch = optional("torch")
    bfloat16.bfloat16.cache_clear()
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(TypeError, match=r"params\[0\].*: .*need ml_dtypes: pip install ml_dtypes"):
        gpuopt.SGD(torch.ones(5, dtype=torch.bfloat16), lr=0.5)


def test_a_tensor_without_memory_is_named():
    torch = optional("torch")
    with pytest.raises(TypeError, match=r"params\[0\]"):
        gpuopt.SGD(torch.ones(5, device="meta"), lr=0.5)


def test_an_optimizer_of_named_parameters_is_copied_and_pickled():
    params = {"W": np.ones((2, 3)), "b": np.zeros(3)}
    opt = gpuopt.Adam(params, lr=0.1, average=0.9)
    opt.step({name: np.ones_like(p) for name, p in params.items()})
    for other in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        other.step({name: np.ones_like(p) for name, p in params.items()})
        assert other.step_count == 2
        assert set(other.averaged_params()) == {"W", "b"}
    assert opt.step_count == 1
