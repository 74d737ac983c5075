"""How many threads the BLAS uses."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any


def one_blas_thread() -> AbstractContextManager[Any]:
    """One thread for matrix products, inside a `with` block.

    Small ones gain little from more, and where other programs want the cores, waiting for the other
    threads can make a step a hundred times slower. Without threadpoolctl (scikit-learn brings it)
    nothing.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return nullcontext()
    return threadpool_limits(1, user_api="blas")
