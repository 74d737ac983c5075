"""What an array is, and the module that computes with it."""

import importlib
from typing import Any

import numpy as np


def is_array(x: Any) -> bool:
    """Whether `x` is one array rather than a collection of them."""
    return hasattr(x, "dtype") and hasattr(x, "shape")


def array_module(x: Any) -> Any:
    """The module with the functions for an array: cupy for CuPy's, else numpy."""
    name = type(x).__module__.partition(".")[0]
    return importlib.import_module(name) if name == "cupy" else np


def on_host(x: Any) -> np.ndarray:
    """A NumPy or CuPy array as NumPy's: CuPy's are copied, which waits for the GPU."""
    module = array_module(x)
    return np.asarray(x if module is np else module.asnumpy(x))
