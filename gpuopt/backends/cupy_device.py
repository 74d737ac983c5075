"""CuPy, or the reason why it cannot be used here."""

import functools
import importlib
import os
from typing import Any

from gpuopt.backends.base import BackendError

try:
    cupy: Any = importlib.import_module("cupy")  # never this file, whose name is the same
except ModuleNotFoundError as error:
    if error.name != "cupy":
        raise BackendError(f"CuPy is installed but broken: {error}") from error
    raise BackendError(
        "CuPy is not installed: pip install 'gpuopt[cuda12]' (or 'gpuopt[cuda13]')"
    ) from None
except Exception as error:
    raise BackendError(f"CuPy is installed but broken: {type(error).__name__}: {error}") from error


def check_device() -> None:
    """Raise BackendError with the reason if CuPy finds no GPU. `import cupy` works without one."""
    runtime = cupy.cuda.runtime
    try:
        driver = runtime.driverGetVersion()
        if driver and runtime.getDeviceCount() > 0:
            return
        reason = "no device was found"
    except runtime.CUDARuntimeError as error:
        driver, reason = runtime.driverGetVersion(), str(error)
    if not driver:
        raise BackendError("CuPy finds no NVIDIA driver; is one installed, and is there a GPU?")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        reason += f"; CUDA_VISIBLE_DEVICES is {hidden!r} and may hide it"
    raise BackendError(f"there is an NVIDIA driver, but CuPy can use no GPU: {reason}")


@functools.cache
def attributes(device: int) -> dict[str, int]:
    return cupy.cuda.Device(device).attributes
