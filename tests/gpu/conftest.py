"""Tests that need a GPU, through the real CuPy: `bash ci/gpu.sh FOLDER` runs them.

Where there is no GPU one line says so, and nothing else here is even imported. With GPUOPT_GPU=1 a
missing GPU, or a backend that cannot run, is a failure.
"""

import os
import signal

import pytest

from gpuopt import backends

REASON = backends.unavailable("cupy")
collect_ignore_glob = ["test_[!_]*.py"] if REASON else []
collect_ignore_glob += [] if REASON else ["test__no_gpu.py"]


def pytest_configure() -> None:
    """`timeout` ends a run so that what had failed until then is still told."""
    if os.environ.get("GPUOPT_GPU") == "1":
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(params=["cupy", "numba-cuda"])
def gpu_backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend for GPUs; all take CuPy arrays. One that cannot run is a failure in
    test_backends.py."""
    reason = backends.unavailable(request.param)
    if reason:
        pytest.skip(f"NOT TESTED: {request.param}: {reason}")
    return request.param


@pytest.fixture(autouse=True)
def nothing_left_over():
    """What a test left on a GPU must not fail in the next one."""
    yield
    if not REASON:
        import cupy

        cupy.cuda.Device().synchronize()
