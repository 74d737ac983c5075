"""Averages of values that come one at a time, and of arrays on a device."""

import copy
import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from gpuopt.averages import Average, ewma


def test_streaming_needs_one_buffer_and_leaves_what_it_gave():
    x = np.random.default_rng(6).normal(size=(40, 3, 4)).astype(np.float32)
    average, expected = Average(0.9), ewma(x, 0.9)
    average.update(x[0])
    buffer, first = average._v, average.value
    for theta in x[1:]:
        average.update(theta)
    assert average._v is buffer
    assert average.count == 40
    np.testing.assert_allclose(average.value, expected[-1], rtol=1e-6)
    np.testing.assert_allclose(first, x[0], rtol=1e-6)
    average.value[...] = 0
    np.testing.assert_allclose(average.value, expected[-1], rtol=1e-6)
    for other in (copy.deepcopy(average), pickle.loads(pickle.dumps(average))):
        other.update(x[0])
        assert other.count == 41
    assert repr(average) == "<Average of 40 values, beta=0.9, bias_correction=True>"


def test_streaming_numbers_of_several_types():
    average = Average(0.5, bias_correction=False)
    for theta in (4, 2.5, np.float32(1), np.array(3), True):
        average.update(theta)
    assert average.value == pytest.approx(float(ewma([4, 2.5, 1, 3, 1], 0.5, False)[-1]))


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (np.zeros(3), ValueError, r"x has shape \(3,\), but those before it had \(2,\)"),
        (np.zeros((2, 1)), ValueError, r"x has shape \(2, 1\)"),
        (1.0, ValueError, r"x has shape \(\)"),
        (np.zeros(2, complex), TypeError, "x is complex128, but those before it were real"),
        (["a", "b"], TypeError, "x must be an array of numbers, got one of <U1"),
        (None, TypeError, "x must be an array of numbers, got one of object"),
    ],
)
def test_an_update_that_cannot_be_changes_nothing(x, error, words):
    average = Average(0.9)
    with pytest.raises(RuntimeError, match="there is no average before the first update"):
        _ = average.value
    average.update([1.0, 2.0])
    with pytest.raises(error, match=words):
        average.update(x)
    assert average.count == 1
    assert average.value.tolist() == pytest.approx([1, 2])


class DeviceArray(np.ndarray):
    """An array that, as CuPy's, mixes with its kind and with numbers only."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        assert all(isinstance(x, DeviceArray) or np.ndim(x) == 0 for x in (*inputs, *out)), "mixed"
        plain = [x.view(np.ndarray) if isinstance(x, DeviceArray) else x for x in inputs]
        result = getattr(ufunc, method)(*plain, **options)
        for target in out:
            target.view(np.ndarray)[...] = result
        return out[0] if out else np.asarray(result).view(DeviceArray)

    def __array_function__(self, *_):
        raise AssertionError("a function of NumPy's for an array of CuPy's")


def on_device(function):
    def call(*args, **options):
        plain = [x.view(np.ndarray) if isinstance(x, DeviceArray) else x for x in args]
        return np.asarray(function(*plain, **options)).view(DeviceArray)

    return call


def test_cupy_s_arrays_are_averaged_by_cupy(monkeypatch):
    names = ("moveaxis", "isfinite", "where", "expm1", "arange", "zeros", "asarray")
    cupy = SimpleNamespace(
        __name__="cupy", **{name: on_device(getattr(np, name)) for name in names}
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(DeviceArray, "__module__", "cupy")
    x = np.random.default_rng(7).normal(size=(4, 50)).astype(np.float32)
    averaged = ewma(x.view(DeviceArray), 0.9, axis=1)
    assert type(averaged) is DeviceArray
    np.testing.assert_array_equal(averaged.view(np.ndarray), ewma(x, 0.9, axis=1))
    average = Average(0.9)
    for theta in x.T:
        average.update(theta.view(DeviceArray))
    assert type(average.value) is DeviceArray
    np.testing.assert_allclose(average.value.view(np.ndarray), ewma(x, 0.9, axis=1)[:, -1])
    with pytest.raises(TypeError, match="x is an array of numpy, but those before it were of cupy"):
        average.update(x[:, 0])
    assert average.count == 50
