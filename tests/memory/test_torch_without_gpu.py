"""The way through PyTorch's CUDA allocator, with a stand-in for its functions."""

import gc
from types import SimpleNamespace

import numpy as np
import pytest

from gpuopt import memory
from gpuopt.memory.events import GRADIENTS, STATE, Recorder
from gpuopt.memory.finding import place_of_tensors
from gpuopt.memory.places_torch import TorchCuda
from gpuopt.memory.pool_torch import TorchPool
from gpuopt.memory.trace_torch import torch_cuda_trace
from tests.memory.fake_torch_cuda import OTHERS, TOTAL, Device, Tensor
from tests.optional import optional

torch = optional("torch")
MIB = 2**20
X = np.ones((64, 3), np.float32)


@pytest.fixture
def device(monkeypatch):
    device = Device(torch, monkeypatch)
    monkeypatch.setattr("gpuopt.memory.check.place_of", lambda data, found: TorchCuda(0))
    yield device
    gc.collect()


class Network:
    """Activations, gradients and weights on a device; sizes in bytes."""

    def __init__(self, device, layers=(1000, 4000, 700), weights=300_000):
        self.device, self.layers = device, layers
        self.weights = [Tensor(device, weights) for _ in layers]

    def step(self, x):
        held = [Tensor(self.device, 4 * len(x) * width) for width in self.layers]
        gradients = []
        while held:
            activation = held.pop()
            delta = Tensor(self.device, activation.size)
            gradients.append(Tensor(self.device, self.weights[len(held)].size))
            del activation, delta

    def real_peak(self, batch_size):
        """What two steps take from an allocator that holds nothing but free segments' sum."""
        pool = self.device.pool
        pool.free_all_blocks()
        before = pool.peak_total = pool.total
        for _ in range(2):
            self.step(range(batch_size))
        return pool.peak_total - before


@pytest.mark.parametrize("batch_size", [16, 37, 500, 4096])
def test_predictions_are_the_allocator_s_own_peaks(device, batch_size):
    network = Network(device, weights=0)  # without, the allocator begins empty
    report = memory.fit(network.step, X, most=4096)
    assert (report.device, report.doubt) == ("cuda", None)
    assert report.replay(batch_size, TorchPool()).bytes == network.real_peak(batch_size)


def test_weights_that_are_there_leave_room_in_their_segments(device):
    network = Network(device)
    report = memory.fit(network.step, X, most=4096)
    for batch_size in (64, 1000):
        over = report.replay(batch_size, TorchPool()).bytes - network.real_peak(batch_size)
        assert 0 <= over <= 2 * MIB


def test_the_report_and_the_guard(device):
    network = Network(device)
    largest = memory.fit(network.step, X, budget=200 * MIB, most=2**20).largest
    sizes = [largest, 3 * largest // 2]
    report = memory.fit(network.step, X, budget=200 * MIB, most=2**20, verify=sizes)
    assert (report.verdict, report.batch_size) == ("fits", report.largest_power_of_two)
    assert report.breakdown()["pool rounding"] > 0
    assert sum(report.breakdown().values()) == report.predicted
    assert report.peak(64).block.where.startswith("test_torch_without_gpu.py:")
    through, failed = report.verified
    assert through.passed
    assert abs(through.error) < 0.02
    assert not failed.passed
    assert "CUDA out of memory. Tried to allocate" in failed.reason
    assert device.fraction == 1
    assert not device.recording


def test_the_budget_is_the_device_s_and_the_fraction_s(device):
    assert TorchCuda(0).budget().bytes == TOTAL - OTHERS
    device.set_per_process_memory_fraction(0.25)
    held = Tensor(device, 30 * MIB)
    budget = TorchCuda(0).budget()
    assert budget.bytes == TOTAL // 4 - 30 * MIB
    assert budget.limits[0].name == "PyTorch's memory fraction"
    del held


def test_what_a_recorder_is_told_comes_in_its_place(device):
    """Roles and names between allocations, and an address that is used twice."""
    recorder = Recorder(1)
    with torch_cuda_trace(recorder):
        gradient = Tensor(device, 100)
        recorder.name([gradient], GRADIENTS)
        again = gradient.address
        del gradient
        recorder.role("mine")
        device.next = again - 2**40
        state = Tensor(device, 200)
        assert state.address == again
        recorder.step_ends()
        other = Tensor(device, 300)
        recorder.name([state], STATE)
    found = [(block.size, block.role) for block in recorder.trace.blocks]
    assert found == [(100, GRADIENTS), (200, STATE), (300, "mine")]
    assert recorder.trace.order == [0, ~0, 1, 2]
    assert recorder.trace.steps == [3]
    del other


def test_memory_of_other_libraries_is_missed(device):
    network = Network(device, layers=(100, 400, 70))

    def step(x):
        network.step(x)
        device.others = max(device.others, OTHERS + len(x) * 20_000)

    report = memory.fit(step, X, most=2048)
    assert report.verdict == "uncertain"
    assert "other libraries may take the rest" in report.doubt


def test_out_of_memory_while_probing_is_a_memory_error(device):
    device.set_per_process_memory_fraction(0.01)
    with pytest.raises(MemoryError, match="not even mini-batches of 2 to 4 examples"):
        memory.fit(Network(device, layers=(10**7,), weights=0).step, X)
    assert not device.recording


def test_an_allocator_without_a_history(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_allocator_backend", lambda: "cudaMallocAsync")
    with pytest.raises(TypeError, match=r"'cudaMallocAsync'.*PYTORCH_CUDA_ALLOC_CONF"):
        memory.fit(lambda x: x, X)


def test_a_copy_of_the_process_could_not_use_the_gpu(device):
    with pytest.raises(ValueError, match="isolate=True"):
        memory.fit(lambda x: x, X, isolate=True)


def test_where_tensors_lie(device):
    def on(name):
        return SimpleNamespace(device=torch.device(name))

    assert isinstance(place_of_tensors([on("cpu"), on("cuda:0")]), TorchCuda)
    with pytest.raises(ValueError, match="cuda:0, cuda:1; the check is for steps on one GPU"):
        place_of_tensors([on("cuda:0"), on("cuda:1")])
    with pytest.raises(ValueError, match=r"GPU 1, .*call torch.cuda.set_device\(1\) first"):
        place_of_tensors([on("cuda:1")])


def test_beside_a_gpu_a_step_on_the_cpu_is_tried_in_this_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    calls = []
    memory.fit(lambda x: calls.append(len(x)), torch.ones(64, 3), most=64, budget="1GiB")
    assert calls
    with pytest.raises(ValueError, match="CUDA_VISIBLE_DEVICES=-1"):
        memory.fit(lambda x: x, torch.ones(64, 3), most=64, verify=True)
