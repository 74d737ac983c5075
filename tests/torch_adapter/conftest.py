"""Fixtures for the tests of gpuopt.torch."""

from typing import Any

import pytest

from gpuopt import backends


@pytest.fixture
def by_numpy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Steps by the reference, which compiles nothing."""
    numpy = backends.load("numpy")
    monkeypatch.setattr("gpuopt.torch.bound.backend_for", lambda parts: numpy)
    return numpy
