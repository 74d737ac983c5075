"""Testing kernels on a machine without a GPU: a host compiler, NVRTC, and a stand-in for CuPy."""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip a test for want of a tool; where CI is set, where it must not be wanting, fail."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI is set")
    pytest.skip(what)
