"""What comparisons with PyTorch share."""

from collections.abc import Iterator

import pytest

from tests.optional import optional


@pytest.fixture
def double_scalars() -> Iterator[None]:
    """PyTorch keeps NAdam's product, and ASGD's eta and mu, in its default dtype, gpuopt in
    float64."""
    torch = optional("torch")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
