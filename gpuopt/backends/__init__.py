"""Backends: loops around a rule's formula. `pick` chooses one by the kind of arrays."""

import functools
import importlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuopt.backends import forks  # noqa: F401 - at once, so that it learns of every fork
from gpuopt.backends.base import Backend, BackendError

CLASSES = {
    "numpy": ("gpuopt.backends.numpy", "NumpyBackend"),
    "numba": ("gpuopt.backends.numba", "NumbaBackend"),
    "cupy": ("gpuopt.backends.cupy", "CupyBackend"),
    "numba-cuda": ("gpuopt.backends.numba_cuda", "NumbaCudaBackend"),
}
CPU, GPU = ("numba", "numpy"), ("cupy", "numba-cuda")


@functools.cache
def load(name: str) -> Backend:
    """The backend called `name`. BackendError with the reason if it cannot run here."""
    if name not in CLASSES:
        raise ValueError(f"backend must be None or one of {', '.join(CLASSES)}, got {name!r}")
    module, cls = CLASSES[name]
    try:
        return getattr(importlib.import_module(module), cls)()
    except BackendError:
        raise
    except Exception as error:
        raise BackendError(
            f"the {name} backend cannot run here: {type(error).__name__}: {error}"
        ) from error


def unavailable(name: str) -> str | None:
    """Why a backend cannot run here, or None if it can."""
    try:
        load(name)
    except BackendError as error:
        return str(error)
    return None


def on_device(array: Any) -> bool:
    """Whether an array lies in a GPU's memory."""
    if isinstance(array, np.ndarray):
        return False
    if getattr(array, "__cuda_ndarray__", False):  # Numba's, in its simulator as well
        return True
    if hasattr(array, "__dlpack_device__"):
        try:
            return array.__dlpack_device__()[0] not in (1, 3)  # kDLCPU, kDLCUDAHost
        except (RuntimeError, ValueError, BufferError):  # a tensor without memory: said by `view`
            return False
    return hasattr(array, "__cuda_array_interface__")


def pick(arrays: Sequence[Any], name: str | None) -> Backend:
    """The backend for `arrays`: the one named, or else the first that can run.

    Taking another than the first, because that one cannot, is said once through `warnings`.
    """
    if name is not None:
        return load(name)
    places = {on_device(a) for a in arrays}
    if len(places) > 1:
        raise TypeError(
            "parameters lie partly in CPU and partly in GPU memory; make one optimizer for each"
        )
    candidates = GPU if places == {True} else CPU
    reasons: list[str] = []
    for candidate in candidates:
        reason = unavailable(candidate)
        if reason is None:
            if reasons:
                message = f"using the {candidate} backend: {reasons[0]}"
                warnings.warn(message, stacklevel=level_outside())
            return load(candidate)
        reasons.append(reason)
    raise BackendError("; ".join(reasons))


def level_outside() -> int:
    """The stack level, for a warning of the caller, of the first function outside gpuopt, and
    outside Numba, which calls gpuopt when it compiles."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("gpuopt.", "numba.")):
        frame, level = frame.f_back, level + 1
    return level
