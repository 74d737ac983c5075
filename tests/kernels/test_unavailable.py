"""Machines where CuPy cannot run: each has its own message, and none keeps gpuopt from the CPU."""

import sys

import numpy as np
import pytest

import gpuopt
from tests.without_gpu import cupy_stand_in as stand_in


def runtime(driver, devices):
    cupy = stand_in.module()
    cupy.cuda.runtime.driverGetVersion = lambda: driver
    cupy.cuda.runtime.getDeviceCount = devices
    return cupy


def no_devices():
    raise stand_in.CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")


def reason(cupy):
    with stand_in.installed(cupy), pytest.raises(gpuopt.BackendError) as caught:
        gpuopt.SGD(np.ones(3, np.float32), backend="cupy")
    return str(caught.value)


def test_cupy_is_not_installed():
    assert "CuPy is not installed: pip install 'gpuopt[cuda12]'" in reason(None)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ImportError('libcublas.so.12: cannot open')", "ImportError: libcublas.so.12"),
        ("import cupy_backends_of_another_version", "No module named 'cupy_backends_of_another"),
        ("raise AttributeError('numpy.cumproduct')", "AttributeError: numpy.cumproduct"),
    ],
)
def test_cupy_is_broken(source, message, tmp_path, monkeypatch):
    (tmp_path / "cupy.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with stand_in.installed(None):
        del sys.modules["cupy"]
        with pytest.raises(gpuopt.BackendError, match="CuPy is installed but broken: ") as caught:
            gpuopt.SGD(np.ones(3, np.float32), backend="cupy")
    assert message in str(caught.value)


def test_there_is_no_driver():
    assert "CuPy finds no NVIDIA driver" in reason(runtime(0, no_devices))


def test_there_is_a_driver_and_no_device(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    message = reason(runtime(12090, no_devices))
    assert "there is an NVIDIA driver, but CuPy can use no GPU: cudaErrorNoDevice" in message
    assert "CUDA_VISIBLE_DEVICES" not in message


@pytest.mark.parametrize("devices", [no_devices, lambda: 0])
def test_the_device_is_hidden(devices, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES is '-1' and may hide it" in reason(runtime(12090, devices))


def test_the_cpu_works_all_the_same():
    with stand_in.installed(None):
        p = np.ones(3, np.float32)
        gpuopt.SGD(p, lr=0.5).step(np.ones(3, np.float32))
    assert p.tolist() == [0.5] * 3
