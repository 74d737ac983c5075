"""Where training computes. A few lines stand in for CuPy; tests/gpu has the real one."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from gpuopt import arrays, backends
from gpuopt.errors import InputError
from gpuopt.training import device


@pytest.fixture
def two_gpus(monkeypatch):
    """CuPy with two GPUs, as far as `device` looks; `used` is the current one."""
    cupy = ModuleType("cupy")
    cupy.used = None
    cupy.array = np.array
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            getDeviceCount=lambda: 2, getDeviceProperties=lambda i: {"name": b"GPU %d" % i}
        ),
        Device=lambda i: SimpleNamespace(use=lambda: setattr(cupy, "used", i)),
        get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setattr(backends, "unavailable", lambda name: None)
    return cupy


@pytest.mark.parametrize(
    ("asked", "backend", "name", "used"),
    [
        ("auto", None, "cuda:0 (GPU 0)", 0),
        ("cuda", None, "cuda:0 (GPU 0)", 0),
        ("cuda:1", None, "cuda:1 (GPU 1)", 1),
        ("cuda:1", "cupy", "cuda:1 (GPU 1)", 1),
        ("auto", "cupy", "cuda:0 (GPU 0)", 0),
        ("cuda:1", "numba-cuda", "cuda:1 (GPU 1)", 1),
        ("auto", "numpy", "cpu", None),
        ("cpu", None, "cpu", None),
    ],
)
def test_the_device_and_backend_asked_for(asked, backend, name, used, two_gpus):
    assert device.choose(asked, backend).name == name
    assert two_gpus.used == used


@pytest.mark.parametrize(
    ("asked", "backend", "words"),
    [
        ("cuda:2", None, "there are 2 GPUs"),
        ("cpu", "cupy", "cupy does not run on cpu; there is numba, numpy"),
        ("cuda:x", None, "must be auto, cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there(asked, backend, words, two_gpus):
    with pytest.raises(InputError, match=words):
        device.choose(asked, backend)


def test_training_on_a_gpu_needs_cupy_whatever_steps_there(monkeypatch):
    monkeypatch.setattr(backends, "unavailable", {"cupy": "no CuPy"}.get)
    for asked in ("auto", "cuda"):
        with pytest.raises(InputError, match=r"numba-cuda: the network .* CuPy .*no CuPy"):
            device.choose(asked, "numba-cuda")


def test_mini_batches_are_prefetched_to_the_gpu_and_stay_as_they_are_on_the_cpu(
    two_gpus, monkeypatch
):
    monkeypatch.setattr(device, "prefetch", lambda batches, index: (batches, index))
    batches = [(np.ones(1), np.ones(1))]
    assert device.choose("cuda:1", None).feed(batches) == (batches, 1)
    assert device.choose("cpu", None).feed(batches) is batches


def test_without_a_gpu_auto_is_the_cpu(monkeypatch):
    monkeypatch.setattr(backends, "unavailable", lambda name: "none" if name == "cupy" else None)
    assert device.choose("auto", None).name == "cpu"


def test_array_code_runs_in_the_module_of_its_arrays(two_gpus):
    array = type("ndarray", (), {"__module__": "cupy._core.core"})()
    assert arrays.array_module(array) is two_gpus
    assert arrays.array_module(np.ones(1)) is np
