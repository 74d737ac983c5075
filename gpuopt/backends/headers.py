"""kernels/headers_numba.py, compiled: where gradients lie, asked of many at once."""

import functools
from typing import Any

import numpy as np

from gpuopt.backends.cache import import_source
from gpuopt.lowering.python import kernel_text


@functools.cache
def headers() -> Any:
    """The module, compiled where the cache can be written. ImportError without Numba."""
    return import_source("headers", kernel_text("headers_numba"))


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
