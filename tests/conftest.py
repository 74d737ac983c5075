"""Fixtures for every test: the backends, each with its own arrays."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.without_gpu import cupy_stand_in as stand_in
from tests.without_gpu import missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that count bytes first: in a process that has grown, its heap has holes to give."""
    items.sort(key=lambda item: "memory" not in item.path.parent.name)


class Arrays(NamedTuple):
    """A backend's name, and the way from NumPy arrays to its own and back.

    `asarray` gives an array over the same memory as the NumPy view it was made from, with the same
    strides, and `to_numpy` gives its elements.
    """

    name: str
    asarray: Callable[[np.ndarray], Any]
    to_numpy: Callable[[Any], np.ndarray]


@pytest.fixture
def cupy_stand_in() -> Iterator[Any]:
    """CuPy without a GPU: `backend="cupy"` runs its kernels on the CPU. Its `events` tell what it
    compiled, allocated, uploaded and launched."""
    if shutil.which("g++") is None:
        missing("the kernels' tests without a GPU need g++")
    with stand_in.installed(stand_in.module()) as cupy:
        yield cupy


# Numba's simulator replaces `numba.cuda` in a whole process. tests/kernels/test_numba_cuda.py
# starts such a process, and runs tests of all backends there again, on numba-cuda alone.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"


@pytest.fixture(params=["numba-cuda"] if SIMULATED else ["numpy", "numba", "cupy"])
def backend(request: pytest.FixtureRequest) -> Arrays:
    """Each backend in turn."""
    if request.param == "cupy":
        request.getfixturevalue("cupy_stand_in")
        return Arrays("cupy", stand_in.ndarray, lambda a: a.get())
    if request.param == "numba-cuda":
        from tests.kernels.numba_cuda_pair import on_gpu

        return Arrays("numba-cuda", on_gpu, lambda a: a.copy_to_host())
    return Arrays(request.param, np.asarray, np.asarray)
