"""NumPy's allocations as the trace writes them down: each block once, from its birth to its end."""

import numpy as np
import pytest

from gpuopt import memory
from gpuopt.memory.events import Recorder
from gpuopt.memory.trace_numpy import numpy_trace

PAGE = 2**14  # bytes: more than what comes with Python's numbers


def traced(run):
    """The sizes of the blocks, and the events: k where block k begins, ~k where it ends."""
    recorder = Recorder(1)
    with numpy_trace(recorder):
        run()
    return [block.size for block in recorder.trace.blocks], recorder.trace.order


@pytest.mark.parametrize("factor", [3, 0.5])
def test_resize_frees_the_old_block_and_makes_a_new_one(factor):
    def run():
        array = np.ones(PAGE, np.uint8)
        array.resize(int(factor * PAGE), refcheck=False)

    assert traced(run) == ([PAGE, int(factor * PAGE)], [0, ~0, 1, ~1])


def test_what_is_made_and_freed_in_other_ways():
    def run():
        first = np.empty(PAGE, np.uint8)
        second = np.zeros(2 * PAGE, np.uint8)
        del first
        second += 1

    assert traced(run) == ([PAGE, 2 * PAGE], [0, 1, ~0, ~1])


def test_blocks_that_end_while_an_error_is_on_its_way():
    def run():
        kept = np.zeros(PAGE, np.uint8)
        raise LookupError(len(kept))

    recorder = Recorder(1)
    with pytest.raises(LookupError, match=str(PAGE)), numpy_trace(recorder):
        run()
    assert recorder.trace.order == [0]  # the traceback keeps it

    def handled():
        try:
            run()
        except LookupError:
            return np.ones(PAGE, np.uint8)

    assert sorted(traced(handled)[1]) == [~1, ~0, 0, 1]


@pytest.mark.parametrize("isolate", [True, False])
def test_a_step_that_makes_zeros(isolate):
    """NumPy's calloc lets go of the GIL, and ends a process that calls it without."""

    def step(x):
        zeros = np.zeros((len(x), 1000), np.uint8)
        return np.zeros_like(zeros)

    report = memory.fit(step, np.ones((1024, 4), "f4"), budget="64MiB", isolate=isolate)
    assert report.peak(1000).bytes == pytest.approx(3 * 1000 * 1000, rel=0.05)
    assert report.verdict == "fits"


@pytest.mark.parametrize("isolate", [True, False])
def test_a_step_that_grows_an_array_takes_what_the_array_has_in_the_end(isolate):
    """If the old blocks stayed it would be the sum of all sizes, 4.5 times as much."""

    def step(x):
        grown = np.ones(1000 * len(x), np.uint8)
        for k in range(2, 9):
            grown.resize(1000 * k * len(x), refcheck=False)

    report = memory.fit(step, np.ones((1024, 4), "f4"), budget="64MiB", isolate=isolate)
    arrays = report.peak(1000).bytes
    assert arrays == pytest.approx(8000 * 1000, rel=0.02)
    assert report.verdict == "fits"
