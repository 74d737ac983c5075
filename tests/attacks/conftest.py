"""Fixtures for the attacks."""

from tests.torch_adapter.conftest import by_numpy

__all__ = ["by_numpy"]
