"""bfloat16 arrays: NumPy has the type from ml_dtypes, and PyTorch hands its own out as bits."""

import functools
import sys
from typing import Any

import numpy as np


@functools.cache
def bfloat16() -> np.dtype:
    """NumPy's bfloat16. TypeError where ml_dtypes, which defines it, is missing."""
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError("bfloat16 tensors need ml_dtypes: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


def is_torch_bfloat16(array: Any) -> bool:
    return str(getattr(array, "dtype", None)) == "torch.bfloat16"


def torch_bits(tensor: Any) -> Any:
    """A torch tensor of 16-bit elements as one of int16 over the same memory, however it lies:
    neither NumPy nor `__cuda_array_interface__` knows its bfloat16."""
    return tensor.detach().view(sys.modules["torch"].int16)
