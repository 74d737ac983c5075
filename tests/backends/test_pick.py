"""Which backend runs, and what is said when it is not the first choice."""

import warnings

import numpy as np
import pytest

import gpuopt
from gpuopt import backends, rules
from tests.optional import optional


def test_numba_is_the_first_choice_for_numpy_arrays():
    optional("numba")
    assert gpuopt.Adam(np.ones(3, "f4")).backend == "numba"
    assert gpuopt.Adam([]).backend == "numba"


@pytest.mark.parametrize(
    "make",
    [
        lambda p: gpuopt.Adam(p),
        lambda p: gpuopt.Optimizer(p, rules.Adam(), lr=0.1),
    ],
)
def test_float16_goes_to_numpy_with_one_warning_at_the_callers_line(make):
    optional("numba")
    with pytest.warns(UserWarning, match="using the numpy backend: .*float16") as record:
        opt = make(np.ones(3, "f2"))
    assert opt.backend == "numpy"
    assert len(record) == 1
    assert record[0].filename == __file__
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            make(np.ones(3, "f2"))
    assert len(seen) == 1


def test_naming_a_backend_that_does_not_take_the_dtype_is_an_error():
    optional("numba")
    with pytest.raises(TypeError, match=r"params\[0\] has dtype float16; the numba backend takes"):
        gpuopt.Adam(np.ones(3, "f2"), backend="numba")


@pytest.fixture
def without(monkeypatch):
    """Backends that cannot run."""

    def take_out(*names):
        classes = {n: ("gpuopt.backends.missing", n) for n in names}
        monkeypatch.setattr(backends, "CLASSES", {**backends.CLASSES, **classes})
        backends.load.cache_clear()

    yield take_out
    backends.load.cache_clear()


def test_a_missing_numba_is_said_once(without):
    without("numba")
    with pytest.warns(UserWarning, match="using the numpy backend: the numba backend cannot run"):
        assert gpuopt.SGD(np.ones(3), lr=1).backend == "numpy"
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
