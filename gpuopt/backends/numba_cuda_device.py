"""The `cuda` module of numba-cuda, or a BackendError with the reason why it cannot be used."""

import os
from typing import Any

from gpuopt.backends.base import BackendError

try:
    from gpuopt.kernels import device_numba_cuda
except ModuleNotFoundError as error:
    if error.name != "numba_cuda_mlir":  # the last that is looked for
        raise BackendError(f"numba-cuda is installed but broken: {error}") from error
    raise BackendError("numba-cuda is not installed: pip install 'gpuopt[numba-cuda]'") from None
except Exception as error:
    broken = f"numba-cuda is installed but broken: {type(error).__name__}: {error}"
    raise BackendError(broken) from error

cuda: Any = device_numba_cuda.cuda
SIMULATED = device_numba_cuda.simulated()


def check_device() -> None:
    """Raise BackendError with the reason if Numba finds no GPU. Importing works without one."""
    if cuda.is_available() and len(cuda.gpus):
        return
    reason = " ".join(str(cuda.cuda_error() or "").split())
    if "library cannot be found" in reason:
        raise BackendError("Numba finds no NVIDIA driver; is one installed, and is there a GPU?")
    if not reason and len(cuda.gpus):
        raise BackendError(
            "Numba finds a GPU, but not the part of the CUDA toolkit that compiles for it: "
            "pip install 'numba-cuda[cu12]' (or 'numba-cuda[cu13]')"
        )
    reason = reason or "no device was found"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        reason += f"; CUDA_VISIBLE_DEVICES is {hidden!r} and may hide it"
    raise BackendError(f"Numba can use no GPU: {reason}")
