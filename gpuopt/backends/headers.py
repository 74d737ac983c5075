"""kernels/headers_numba.py, compiled: where gradients lie, asked of many at once."""

import functools
from importlib import resources
from typing import Any

import numpy as np

from gpuopt.backends.cache import import_source


@functools.cache
def headers() -> Any:
    """The module, compiled where the cache can be written. ImportError without Numba."""
    text = resources.files("gpuopt.kernels").joinpath("headers_numba.py").read_text()
    return import_source("headers", text)


@functools.cache
def headers_are_readable() -> bool:
    """Whether NumPy's arrays lie in memory as it expects."""
    return headers().layout_is_known()


@functools.cache
def can_relocate() -> bool:
    """Whether launches can take gradients by their addresses; compiles what does it."""
    tables = [np.empty((0, columns), np.int64) for columns in (4, 2, 3)]
    try:
        return headers().relocate(np.empty(0, np.int64), *tables)
    except ImportError:
        return False
