"""PyTorch steps on the CPU: predictions against the profiler and what the system counts."""

import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from gpuopt import memory
from gpuopt.memory.isolated import possible
from tests.memory.torch_networks import NETWORKS, Training, nn, torch

pytestmark = pytest.mark.skipif(
    not possible() or torch.cuda.is_available(), reason="needs copies of the process"
)
BATCHES = (100, 256, 777, 2048)


@pytest.fixture(autouse=True, scope="module")
def several_threads():
    """Their pool does not survive a fork: a copy must do without."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    for name in NETWORKS:
        Training(name).two_steps(64)
    yield
    torch.set_num_threads(before)


@cache
def report_on(name):
    probed = Training(name)
    return memory.fit(probed.step, probed.X, probed.Y, most=4096, budget="1GiB")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_peak_is_within_2_percent(name):
    report, errors = report_on(name), {}
    assert report.doubt is None
    for batch_size in BATCHES:
        predicted = report.replay(batch_size, None).bytes
        errors[batch_size] = predicted / Training(name).profiled_peak(batch_size) - 1
    assert all(abs(error) <= 0.02 for error in errors.values()), errors


SCRIPT = """
import ctypes, gc, pathlib, sys
from gpuopt.memory.isolated import in_use
from tests.memory.torch_networks import Training, torch
torch.set_num_threads(1)
training = Training(sys.argv[1])
training.two_steps(16)
gc.collect()
ctypes.pythonapi.malloc_trim(0)
pathlib.Path("/proc/self/clear_refs").write_text("5")
before = in_use("VmRSS")
training.two_steps(1536)
print(in_use("VmHWM") - before)
"""


@pytest.mark.parametrize("name", NETWORKS)
def test_the_process_takes_what_is_predicted(name):
    """As the system counts, in another process, whose heap leaves no holes."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", SCRIPT, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    taken, predicted = int(done.stdout), report_on(name).replay(1536, None).bytes
    assert predicted > 2**22
    assert abs(taken - predicted) < 2**21 + 0.05 * predicted, (taken, predicted)


def test_the_report():
    training = Training("mlp")
    training.step(training.X, training.Y)
    report = memory.fit(training.step, training.X, training.Y, most=2**16, budget="200MiB")
    assert (report.device, report.verdict) == ("cpu", "fits")
    size = sum(p.nbytes for p in training.net.parameters())
    assert report.allocated["parameters"] == size
    assert report.allocated["optimizer state"] == 2 * size + 4 * 4  # a step count for each
    parts = report.breakdown(64)
    assert parts["inputs"] == 64 * (200 * 4 + 8)
    assert parts["gradients"] > 0
    assert report.peak(2**14).block.where == "aten::threshold_backward of ReluBackward0"
    assert "what other libraries take is seen only as a whole" in str(report)
    assert report.headroom == 1.5
    assert "MALLOC_MMAP_THRESHOLD_=65536" in report.remark


def test_the_optimizer_s_first_state_is_its_own():
    training = Training("mlp", momentum=0.9, rule=torch.optim.SGD)
    report = memory.fit(training.step, training.X, training.Y, most=64, budget="200MiB")
    assert report.allocated["optimizer state"] == 0
    roles = {}
    for block in report.seen.models[0].model.last.blocks:
        roles[block.role] = roles.get(block.role, 0) + block.size
    size = sum(p.nbytes for p in training.net.parameters())
    assert roles["optimizer state"] == size
    assert roles["gradients"] >= 2 * size


def test_a_heap_without_holes_needs_less_headroom(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "65536")
    training = Training("mlp")
    report = memory.fit(training.step, training.X, training.Y, most=64, budget="200MiB")
    assert report.headroom == 0.2
    assert "MALLOC_MMAP_THRESHOLD_" not in report.remark


def test_numpy_data_for_a_module():
    training = Training("mlp")

    def step(x, y):
        training.step(torch.from_numpy(x), torch.from_numpy(y))

    X, Y = training.X.numpy(), training.Y.numpy()
    report = memory.fit(step, X, Y, most=1024, budget="200MiB")
    more = report.breakdown(1024)["other objects"] - report.breakdown(256)["other objects"]
    assert 768 * 808 <= more <= 2.5 * 768 * 808  # a batch, and the one before it
    assert report.remark


def test_runs_under_a_guard():
    training = Training("mlp")
    budget = {"most": 2**17, "budget": "96MiB"}
    largest = memory.fit(training.step, training.X, training.Y, **budget).largest
    sizes = [largest, 8 * largest]  # beyond what else the process may give back meanwhile
    report = memory.fit(training.step, training.X, training.Y, **budget, verify=sizes)
    through, failed = report.verified
    assert (through.passed, failed.passed) == (True, False)
    assert abs(through.error) < 0.02
    assert "DefaultCPUAllocator" in failed.reason
    assert not report.fits(failed.batch_size)


def test_what_grows_from_step_to_step_is_uncertain():
    training, losses = Training("mlp"), []

    def step(x, y):
        losses.append(training.net(x))

    report = memory.fit(step, training.X, training.Y, most=4096, budget="200MiB")
    assert report.verdict == "uncertain"
    assert "left behind" in report.doubt or "more behind" in report.doubt


def test_what_torch_does_not_allocate_is_missed():
    training, hidden = Training("mlp"), []

    def step(x, y):
        hidden[:] = [bytearray(b"x") * (len(x) * 20_000)] if len(x) > 500 else []
        training.step(x, y)

    report = memory.fit(step, training.X, training.Y, most=4096, budget="1GiB")
    assert report.verdict == "uncertain"
    assert "other libraries may take the rest" in report.doubt


def test_errors_are_the_step_s_own():
    net = nn.Linear(5, 2)

    def step(x):
        net(x)

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        memory.fit(step, torch.ones(64, 3))


def test_other_devices_are_refused():
    with pytest.raises(TypeError, match="tensors lie on meta; the check can see"):
        memory.fit(lambda x: x, torch.ones(64, 3, device="meta"))


def test_importing_the_check_imports_no_torch():
    script = "import sys, gpuopt.memory; gpuopt.memory.fit(lambda x: x + 1, __import__('numpy')"
    script += ".ones((64, 3)), most=64, budget='1GiB'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_an_array_of_numpy_beside_torch_is_numpy_s():
    assert memory.fit(lambda x: x + 1, np.ones((64, 3)), most=64, budget="1GiB").remark == ""
