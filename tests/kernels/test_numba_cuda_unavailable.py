"""Machines where Numba CUDA cannot run: each has its own message. No GPU is looked for."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import gpuopt
from gpuopt import backends, kernels

PARTS = [f"numba_cuda{x}" for x in ("", "_device", "_kernels", "_memory", "_upload")]
PACKAGES = ("numba_cuda", "numba_cuda_mlir")


@pytest.fixture
def fresh(monkeypatch):
    """The backend as it is before its first use, which is forgotten afterwards."""

    def forget():
        for package, name in [*((backends, x) for x in PARTS), (kernels, "device_numba_cuda")]:
            vars(package).pop(name, None)
            sys.modules.pop(f"{package.__name__}.{name}", None)
        backends.load.cache_clear()

    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    forget()
    yield monkeypatch
    forget()


def reason():
    with pytest.raises(gpuopt.BackendError) as caught:
        gpuopt.SGD(np.ones(3, np.float32), backend="numba-cuda")
    return str(caught.value)


def test_it_is_not_installed(fresh):
    for name in PACKAGES:
        fresh.setitem(sys.modules, name, None)
    assert reason() == "numba-cuda is not installed: pip install 'gpuopt[numba-cuda]'"
    assert "numba-cuda is not installed" in backends.unavailable("numba-cuda")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ImportError('libcuda: cannot open')", "ImportError: libcuda: cannot open"),
        ("import mlir_of_another_version", "No module named 'mlir_of_another_version'"),
        ("raise AttributeError('numpy.cumproduct')", "AttributeError: numpy.cumproduct"),
    ],
)
def test_it_is_broken(source, message, fresh, tmp_path):
    (tmp_path / "numba_cuda_mlir.py").write_text(source)
    fresh.syspath_prepend(tmp_path)
    fresh.setitem(sys.modules, "numba_cuda", None)
    fresh.delitem(sys.modules, "numba_cuda_mlir", raising=False)
    found = reason()
    assert found.startswith("numba-cuda is installed but broken: ")
    assert message in found


DRIVER = SimpleNamespace(devicearray=SimpleNamespace(DeviceNDArray=type("DeviceNDArray", (), {})))


def with_cuda(error, gpus, available=False):
    """numba-cuda as it is on a machine with this error of the driver and number of GPUs."""
    module = ModuleType("gpuopt.kernels.device_numba_cuda")
    module.simulated = lambda: False
    module.cuda = SimpleNamespace(
        is_available=lambda: available, cuda_error=lambda: error, gpus=range(gpus), cudadrv=DRIVER
    )
    sys.modules[module.__name__] = kernels.device_numba_cuda = module  # `fresh` takes it out


NO_DEVICE = "CUDA_ERROR_NO_DEVICE (100)"


def test_there_is_no_driver(fresh):
    with_cuda("\nCUDA driver library cannot be found.\nEnsure that", 0)
    assert reason().startswith("Numba finds no NVIDIA driver; is one installed")


def test_there_is_a_driver_and_no_device(fresh):
    fresh.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with_cuda(NO_DEVICE, 0)
    assert reason() == f"Numba can use no GPU: {NO_DEVICE}"


@pytest.mark.parametrize(("error", "said"), [(NO_DEVICE, NO_DEVICE), (None, "no device was found")])
def test_the_device_is_hidden(error, said, fresh):
    fresh.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with_cuda(error, 0, available=error is None)
    expected = f"Numba can use no GPU: {said}; CUDA_VISIBLE_DEVICES is '-1' and may hide it"
    assert reason() == expected


def test_the_toolkit_is_missing(fresh):
    with_cuda(None, 1)
    assert "compiles for it: pip install 'numba-cuda[cu12]' (or 'numba-cuda[cu13]')" in reason()


def test_a_gpu_that_works_is_taken(fresh):
    with_cuda(None, 1, available=True)
    assert backends.unavailable("numba-cuda") is None
