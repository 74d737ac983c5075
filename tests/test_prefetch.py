"""Mini-batches through page-locked memory: all arrive, and no copy meets another's memory.

CUDA is simulated (tests/without_gpu/streams.py), once for each seed: work is done late and in an
order drawn at random, so that a wait that is missing gives wrong numbers.
"""

import gc
import weakref

import numpy as np
import pytest

import gpuopt
from tests.without_gpu import cupy_stand_in as stand_in
from tests.without_gpu.streams import Simulation

SIZES = (5, 5, 9, 2, 9, 5, 1)  # examples in a batch: as many, more, fewer


@pytest.fixture(params=range(25))
def gpu(request):
    simulation = Simulation(request.param)
    with stand_in.installed(simulation.cupy):
        yield simulation


def batches():
    """Mini-batches (X, Y) of different sizes, no two alike."""
    rng = np.random.default_rng(0)
    return [(rng.normal(size=(m, 30)).astype("f4"), rng.integers(0, 99, m)) for m in SIZES]


def scribble(gpu, shape):
    """What a training step does to memory: take some, write to it, free it."""
    gpu.write(gpu.cupy.empty(shape, "f4"), 0x33)


def written(shape):
    """What an array holds that `gpu.write` has filled with 0x33."""
    return np.full(shape, 0x33333333, "u4").view("f4")


def train(gpu, loop):
    """Read every batch on the current stream, and drop it at once, as a training loop does."""
    read = []
    for X, Y in loop:
        read.append((gpu.read(X), gpu.read(Y)))
        shape = X.shape
        del X, Y
        scribble(gpu, shape)
    return read


def check(gpu, read, source):
    gpu.finish()
    assert len(read) == len(source)
    for found, expected in zip(read, source, strict=True):
        for (x,), y in zip(found, expected, strict=True):
            np.testing.assert_array_equal(x, y)
            assert x.dtype == y.dtype


def test_every_batch_arrives(gpu):
    check(gpu, train(gpu, gpuopt.prefetch(batches())), batches())


def test_from_minibatches_on_a_stream_of_its_own(gpu):
    X, Y = np.arange(99.0).reshape(3, 33), np.arange(33)[np.newaxis]
    both = [gpuopt.minibatches(X, Y, 8, axis=1, rng=1) for _ in range(2)]
    with gpu.cupy.cuda.Stream(non_blocking=True) as own:
        check(gpu, train(gpu, gpuopt.prefetch(both[0])), list(both[1]))
    assert len(set(gpu.copies)) == 1
    assert gpu.copies[0] not in (0, own.ptr)


def test_a_batch_that_is_kept_stays_as_it_is(gpu):
    kept = list(gpuopt.prefetch(batches()))
    scribble(gpu, (9, 30))
    check(gpu, [[gpu.read(x) for x in batch] for batch in kept], batches())


def second_batch_on_another_stream(gpu, loop):
    """It is asked for with that stream, and another device, current."""
    Device = gpu.cupy.cuda.Device
    next(loop)
    with Device(1), gpu.cupy.cuda.Stream(non_blocking=True), Device(0):
        X, Y = next(loop)
        with Device(1):
            return X, Y, (gpu.read(X), gpu.read(Y))


def test_another_stream_inside_the_loop_waits_for_the_copy(gpu):
    loop = iter(gpuopt.prefetch(batches(), device=1))
    *_, read = second_batch_on_another_stream(gpu, loop)
    check(gpu, [read], batches()[1:2])


def test_another_stream_inside_the_loop_leaves_the_first_its_memory(gpu):
    loop = iter(gpuopt.prefetch(batches(), device=1))
    X, Y, _ = second_batch_on_another_stream(gpu, loop)
    shape = X.shape
    del X, Y
    with gpu.cupy.cuda.Device(1):
        new = gpu.cupy.empty(shape, "f4")
        gpu.write(new, 0x33)
        loop.close()
        check(gpu, [[gpu.read(new)]], [[written(shape)]])


def test_a_batch_that_is_dropped_is_free_at_once(gpu):
    for X, Y in gpuopt.prefetch(batches()):
        alive = weakref.ref(X)
        del X, Y
        assert alive() is None


def test_leaving_a_loop_frees_no_memory_under_a_copy(gpu):
    """Neither the batch that was on its way nor the page-locked memory it came from."""
    for _ in gpuopt.prefetch(batches()):
        break
    new = [gpu.cupy.empty((m, 30), "f4") for m in SIZES]
    for array in new:
        gpu.write(array, 0x33)
    gc.collect()
    read = [[gpu.read(array)] for array in new]
    check(gpu, read, [[written((m, 30))] for m in SIZES])


def test_page_locked_memory_is_freed_when_the_copies_are_done(gpu):
    read = train(gpu, gpuopt.prefetch(batches()))
    for (pool, _), free in gpu.pools.items():
        for memory in free if pool == "page-locked" else ():
            memory[...] = 0x33
    check(gpu, read, batches())


def test_the_host_waits_for_nothing_while_buffers_are_free(gpu):
    loop = iter(gpuopt.prefetch(batches()))
    kept = [next(loop)]
    assert len(gpu.copies) == 4  # the second batch is on its way, too
    assert gpu.host_waits == 0
    check(gpu, [[gpu.read(x) for x in kept[0]]], batches()[:1])


def test_every_loop_is_an_epoch_and_loops_may_nest(gpu):
    source = batches()
    loop = gpuopt.prefetch(source)
    assert len(loop) == len(SIZES)
    for _ in range(2):
        check(gpu, train(gpu, loop), source)
    read = []
    for X, Y in loop:
        read.append((gpu.read(X), gpu.read(Y)))
        read += train(gpu, loop)
    check(gpu, read, [batch for outer in source for batch in (outer, *source)])


def test_a_generator_gives_one_epoch(gpu):
    loop = gpuopt.prefetch(batch for batch in batches())
    check(gpu, train(gpu, loop), batches())
    assert list(loop) == []
    with pytest.raises(TypeError, match="has no len"):
        len(loop)


def test_another_device(gpu):
    read = []
    for X, _ in gpuopt.prefetch(batches(), device=1):
        assert stand_in.current.device == 0
        assert X.device.id == 1
        with gpu.cupy.cuda.Device(1):
            read.append([gpu.read(X)])
    check(gpu, read, [batch[:1] for batch in batches()])


def test_an_error_of_the_source_ends_the_loop(gpu):
    def source():
        yield from batches()[:3]
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        train(gpu, gpuopt.prefetch(source()))
    gpu.finish()
