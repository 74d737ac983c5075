"""Launching printed Numba CUDA kernels in the simulator."""

import importlib.util
from typing import Any

import numpy as np

THREADS = 8  # each is a thread of the operating system
REALS = ("float32", "float64")


def kernel(text: str, name: str, folder: Any) -> Any:
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def address(a: np.ndarray) -> int:
    return a.ctypes.data
