"""Tables that go to a GPU while earlier ones are still on their way: each arrives as it was sent.

CUDA is simulated (tests/without_gpu/streams.py), once for each seed: copies are done late.
"""

import importlib

import numpy as np
import pytest

from gpuopt.backends.turns import TURNS
from tests.without_gpu import cupy_stand_in as stand_in
from tests.without_gpu.streams import Simulation

SENDS = 3 * TURNS + 1
SHAPE, DTYPE = (2, 3), np.dtype("f8")


@pytest.fixture(params=range(25))
def gpu(request):
    simulation = Simulation(request.param)
    with stand_in.installed(simulation.cupy):
        yield simulation


@pytest.fixture
def library(gpu):
    """gpuopt.backends.cupy_upload, over the simulation."""
    return importlib.import_module("gpuopt.backends.cupy_upload")


def test_more_sends_than_there_are_buffers(gpu, library):
    """`values` is the caller's again when `send` returns, and the host may be far ahead."""
    upload, values, read = library.Upload(SHAPE, DTYPE), np.empty(SHAPE), []
    for k in range(SENDS):
        values[...] = k
        upload.send(values)
        values[...] = -1
        read.append(gpu.read(upload.target))
    gpu.finish()
    for k, found in enumerate(read):
        np.testing.assert_array_equal(found[0], np.full(SHAPE, k))


def test_the_host_runs_ahead_of_the_first_sends(gpu, library):
    upload = library.Upload(SHAPE, DTYPE)
    for k in range(TURNS):
        upload.send(np.full(SHAPE, k))
    assert gpu.host_waits == 0


def test_a_synchronous_send_has_arrived_when_it_returns(gpu, library):
    """Though the current stream is busy: where that is captured, nothing on it is ever done."""
    upload, values = library.Upload(SHAPE, DTYPE), np.empty(SHAPE)
    blocked = []
    gpu.put(gpu.current_stream().ptr, lambda: None, lambda: bool(blocked))
    for k in range(SENDS):
        values[...] = k
        upload.send_now(values)
        values[...] = -1
        np.testing.assert_array_equal(upload.target.host, np.full(SHAPE, k))
    blocked.append("no longer")
    gpu.finish()


def test_both_kinds_of_sends_take_turns(gpu, library):
    upload, read = library.Upload(SHAPE, DTYPE), []
    for k in range(SENDS):
        if k % 3 == 2:
            gpu.current_stream().synchronize()  # as before a capture: the table may be in use
            upload.send_now(np.full(SHAPE, k))
        else:
            upload.send(np.full(SHAPE, k))
        read.append(gpu.read(upload.target))
    gpu.finish()
    assert [found[0][0, 0] for found in read] == list(range(SENDS))


def test_buffers_are_given_back_when_their_copies_are_done(gpu, library):
    upload = library.Upload(SHAPE, DTYPE)
    upload.send(np.full(SHAPE, 7))
    target = upload.target
    del upload
    for _ in range(TURNS):  # page-locked memory of somebody else now
        gpu.allocate("page-locked", DTYPE.itemsize * 6).fill(0x33)
    gpu.finish()
    np.testing.assert_array_equal(target.host, np.full(SHAPE, 7))


def test_values_of_another_size_are_refused(gpu, library):
    upload = library.Upload(SHAPE, DTYPE)
    with pytest.raises(ValueError, match="1 values for a buffer of 6"):
        upload.send(np.ones(1))
