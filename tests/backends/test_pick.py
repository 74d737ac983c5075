"""Which backend runs, and what is said when it is not the first choice."""

import warnings

import numpy as np
import pytest

import gpuopt
from gpuopt import backends, rules
from tests.halves import HALVES, dtype_of
from tests.optional import optional


def test_numba_is_the_first_choice_for_numpy_arrays():
    optional("numba")
    assert gpuopt.Adam(np.ones(3, "f4")).backend == "numba"
    assert backends.pick([], None).name == "numba"


@pytest.mark.parametrize("name", HALVES)
def test_16_bit_floats_go_to_numba_like_others(name):
    optional("numba")
    assert gpuopt.Adam(np.ones(3, dtype_of(name))).backend == "numba"


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["int16", ">f4", "V2", "longdouble"])
def test_a_dtype_that_no_backend_takes_is_an_error(dtype, name):
    with pytest.raises(
        TypeError, match=rf"params\[0\] has dtype .*; the {name} backend takes float16, bfloat16, "
    ):
        gpuopt.Adam(np.zeros(3, dtype), backend=name)


@pytest.fixture
def without(monkeypatch):
    """Backends that cannot run."""

    def take_out(*names):
        classes = {n: ("gpuopt.backends.missing", n) for n in names}
        monkeypatch.setattr(backends, "CLASSES", {**backends.CLASSES, **classes})
        backends.load.cache_clear()

    yield take_out
    backends.load.cache_clear()


@pytest.mark.parametrize(
    "make",
    [
        lambda p: gpuopt.SGD(p, lr=1),
        lambda p: gpuopt.Optimizer(p, rules.SGD(), lr=1),
    ],
)
def test_a_missing_numba_is_said_once_at_the_callers_line(make, without):
    without("numba")
    with pytest.warns(
        UserWarning, match="using the numpy backend: the numba backend cannot run"
    ) as record:
        assert make(np.ones(3)).backend == "numpy"
    assert [warning.filename for warning in record] == [__file__]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            make(np.ones(3))
    assert len(seen) == 1
    with pytest.raises(gpuopt.BackendError, match="the numba backend cannot run here: Module"):
        gpuopt.SGD(np.ones(3), lr=1, backend="numba")
    assert "numba" in backends.unavailable("numba")
    assert backends.unavailable("numpy") is None


def test_no_backend_at_all(without):
    without("numba", "numpy")
    with pytest.raises(gpuopt.BackendError, match=r"numba backend.*; .*numpy backend"):
        gpuopt.SGD(np.ones(3), lr=1)


class OnDevice:
    """An array that says it lies in a GPU's memory."""

    dtype, shape = np.dtype("f4"), (3,)

    def __dlpack_device__(self):
        return (2, 0)


def test_arrays_in_two_places():
    with pytest.raises(TypeError, match="partly in CPU and partly in GPU memory"):
        gpuopt.SGD([np.ones(3, "f4"), OnDevice()], lr=1)


def test_device_arrays_never_fall_back_to_the_cpu(without):
    without("cupy", "numba-cuda")
    with pytest.raises(
        gpuopt.BackendError, match=r"cupy backend cannot .*; the numba-cuda backend"
    ):
        gpuopt.SGD(OnDevice(), lr=1)
    with pytest.raises(TypeError, match=r"params\[0\]"):
        gpuopt.SGD(OnDevice(), lr=1, backend="numpy")
