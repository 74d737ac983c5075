"""Rows on a GPU and the crossover, with the kernels run on the CPU and a clock of ours."""

import pytest

from gpuopt.bench import row as measuring
from gpuopt.bench import rows
from gpuopt.bench import run as running
from gpuopt.bench.settings import Settings, sizes
from gpuopt.bench.timing import Clock
from gpuopt.memory.budget import given
from tests.bench_command.bench_handmade import times
from tests.bench_command.bench_pool import like_a_gpu

L2 = 16 * 500  # bytes: p, m, v and g of the second size


@pytest.fixture
def found(cupy_stand_in, monkeypatch):
    """A GPU that takes 4 us and 1 ns an element, and a CPU that takes 10 ns an element."""
    like_a_gpu(cupy_stand_in, monkeypatch, L2)
    monkeypatch.setattr(measuring, "LEAST_FOR_A_LIMIT", 0)

    def clock_of(problem):
        (n,) = problem.shapes[0]
        on_gpu, copying = problem.device != "cpu", 5e-6 * problem.copies
        seconds = 4e-6 + n * 1e-9 + copying if on_gpu else n * 1e-8

        def all_times(runs, pace):
            for run in runs.values():
                run()
            timed = {name: times(seconds) for name in runs}
            return {"clock": "events", "times": timed, "wall": timed} if on_gpu else {
                "clock": "wall", "times": timed,
            }  # fmt: skip

        return Clock(all_times, lambda *_: {"limit, copy": lambda: None}, lambda: None)

    monkeypatch.setattr(measuring, "clock_of", clock_of)
    monkeypatch.setattr(rows, "budget", lambda device: given("1GB"))
    monkeypatch.setattr(running, "free_memory", lambda problem: None)
    asked = {"backends": ("numpy", "cupy"), "peers": (), "copies": True}
    return running.run(Settings(sizes=sizes("100,500,2000", "1"), **asked), lambda *_: None)


def test_every_size_is_measured_on_both_devices_and_with_copies(found):
    assert found["failures"] == []
    names = [row["case"].removeprefix("Adam float32, one tensor of ") for row in found["rows"]]
    assert names[:3] == ["100", "100, cuda:0", "100, cuda:0, with copies"]
    assert len(names) == 9
    gpu = found["rows"][1]
    assert gpu["clock"] == "events"
    assert gpu["launches"] == {"gpuopt cupy": 1}
    assert gpu["temporary_bytes"] == {"gpuopt cupy": 0}


def test_the_limit_of_memory_is_measured_where_the_arrays_do_not_fit_in_the_l2(found):
    told = [(row["device"], row["in_l2"], list(row["times"])[1:]) for row in found["rows"]]
    assert told[:6] == [("cpu", False, ["limit, copy"]), *[("cuda:0", True, [])] * 2] * 2
    assert told[6:] == [(device, False, ["limit, copy"]) for device in ("cpu", *["cuda:0"] * 2)]


def test_the_size_at_which_the_gpu_wins_is_in_the_results(found):
    plain, copied = found["crossover"]
    assert (plain["copies"], plain["from"]) == (False, 500)
    assert (copied["copies"], copied["from"]) == (True, 2000)
