"""What an array is, and the module that computes with it."""

import importlib
from typing import Any

import numpy as np


def is_array(x: Any) -> bool:
    """Whether `x` is one array rather than a collection of them."""
    return hasattr(x, "dtype") and hasattr(x, "shape")


def as_array(x: Any) -> Any:
    """A table or a column of pandas, polars and their like as its NumPy array; others as they are.

    Their rows are found by labels, or by other means than an array's; in the NumPy array they are
    in the same order, by position. TypeError for columns that have no common type, such as numbers
    beside text, and for numbers with missing values that NumPy cannot hold.
    """
    if not hasattr(x, "to_numpy") or hasattr(x, "isel"):  # xarray's is indexed as NumPy's is
        return x
    found = x.to_numpy()
    kind = getattr(getattr(x, "dtype", None), "kind", "O")
    if found.dtype == object and (found.ndim > 1 or kind != "O"):
        raise TypeError(
            f"a {type(x).__name__} whose values have no common NumPy type cannot be used: encode "
            "its text, fill what is missing, then .astype(float)"
        )
    return found


def array_module(x: Any) -> Any:
    """The module with the functions for an array: cupy for CuPy's, else numpy."""
    name = type(x).__module__.partition(".")[0]
    return importlib.import_module(name) if name == "cupy" else np


def on_host(x: Any) -> np.ndarray:
    """A NumPy or CuPy array as NumPy's: CuPy's are copied, which waits for the GPU."""
    module = array_module(x)
    return np.asarray(x if module is np else module.asnumpy(x))
