"""Every backend for GPUs runs here: the other tests skip one that does not."""

import os

import pytest

from gpuopt import backends


@pytest.mark.parametrize("name", backends.GPU)
def test_it_runs(name):
    reason = backends.unavailable(name)
    if reason and os.environ.get("GPUOPT_GPU") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(f"NOT TESTED: {reason}")
