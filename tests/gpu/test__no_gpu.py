"""The one test that is left of this folder on a machine without a GPU."""

import os

import pytest

from gpuopt import backends


def test_there_is_a_gpu():
    reason = backends.unavailable("cupy")
    if os.environ.get("GPUOPT_GPU") == "1":
        pytest.fail(f"GPUOPT_GPU is set, but there is no GPU: {reason}")
    pytest.skip(f"NO GPU, so nothing in tests/gpu has run: {reason}")
