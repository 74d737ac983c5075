"""Packages that some tests need and gpuopt does not."""

import importlib
import os
from typing import Any

import pytest


def optional(name: str) -> Any:
    """The module called `name`. Where it is missing, skip the test; but where CI is set, fail."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{name} is not installed", allow_module_level=True)
