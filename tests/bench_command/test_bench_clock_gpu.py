"""The clock on a GPU, with a GPU that is a list of what was queued and when it is done."""

import sys
from types import SimpleNamespace

import pytest

from gpuopt.bench import clock_gpu, spin


class Gpu:
    """Takes queued work one after another; the host's time goes on when it queues or waits."""

    def __init__(self) -> None:
        self.host = self.done = 0.0
        self.log: list[str] = []

    def queue(self, name: str, seconds: float, overhead: float = 0.0) -> None:
        self.log.append(name)
        self.host += overhead
        self.done = max(self.done, self.host) + seconds

    def synchronize(self) -> None:
        self.log.append("wait")
        self.host = max(self.host, self.done)

    def perf_counter(self) -> float:
        return self.host


class Event:
    def __init__(self, gpu: Gpu) -> None:
        self.gpu = gpu

    def record(self) -> None:
        self.at = max(self.gpu.done, self.gpu.host)

    @property
    def done(self) -> bool:
        return self.at <= self.gpu.host


@pytest.fixture
def gpu(monkeypatch):
    gpu = Gpu()
    cuda = SimpleNamespace(
        Device=lambda: gpu,
        Event=lambda: Event(gpu),
        get_elapsed_time=lambda a, b: (b.at - a.at) * 1e3,
    )
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=cuda))
    monkeypatch.setattr(clock_gpu, "time", gpu)
    monkeypatch.setattr(clock_gpu, "spin", lambda seconds: gpu.queue("spin", seconds))
    return gpu


def test_events_time_the_gpu_and_the_wall_times_both(gpu):
    """A step of 1 ms on the GPU that the host needs 3 ms to queue."""
    found = clock_gpu.interleave({"a": lambda: gpu.queue("a", 1e-3, 3e-3)}, rounds=4, each=5)
    times = found["a"]
    assert times["events"] == [pytest.approx(1e-3)] * (4 * clock_gpu.EACH)
    assert times["wall"] == [pytest.approx(3e-3, rel=0.1)] * 4
    assert times["late"] == [False] * 4


def test_a_gpu_that_waits_for_the_host_is_noticed(gpu, monkeypatch):
    monkeypatch.setattr(clock_gpu, "MOST_AHEAD", 1e-3)
    found = clock_gpu.interleave({"a": lambda: gpu.queue("a", 1e-4, 3e-3)}, rounds=3, each=5)
    assert found["a"]["late"] == [True] * 3


def test_candidates_take_turns_and_two_steps_settle(gpu):
    candidates = {"a": lambda: gpu.queue("a", 1e-3), "b": lambda: gpu.queue("b", 2e-3)}
    clock_gpu.interleave(candidates, rounds=3, each=2)
    turn = [*"xx", "wait", *"xx", "wait", "spin", *"xxxxxx", "wait"]
    once = [name.replace("x", who) for who in "ab" for name in turn]
    assert gpu.log == once * 4


def test_what_prepares_a_step_is_not_timed_by_events(gpu):
    candidates = {"a": lambda: gpu.queue("a", 1e-3)}
    prepare = {"a": lambda: gpu.queue("refill", 5.0)}
    found = clock_gpu.interleave(candidates, 3, 2, prepare)
    assert found["a"]["events"] == [pytest.approx(1e-3)] * (3 * clock_gpu.EACH)
    assert gpu.log.count("refill") == 4 * clock_gpu.EACH


def test_there_are_rounds_enough_for_quartiles_of_the_wall_clock(gpu):
    found = clock_gpu.interleave({"a": lambda: gpu.queue("a", 1e-3)}, rounds=1, each=1)
    assert clock_gpu.summaries(found, "wall")["a"]["count"] == 3
    assert clock_gpu.summaries(found, "events")["a"]["count"] == 3 * clock_gpu.EACH


def test_the_kernel_that_takes_its_time_is_told_nanoseconds(monkeypatch):
    calls = []
    kernel = SimpleNamespace(RawKernel=lambda code, name: lambda *args: calls.append(args))
    monkeypatch.setitem(sys.modules, "cupy", kernel)
    spin.kernel.cache_clear()
    spin.spin(0.25)
    spin.kernel.cache_clear()
    assert calls == [((1,), (1,), (250_000_000,))]
