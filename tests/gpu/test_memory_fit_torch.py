"""The memory-fit check of PyTorch steps against PyTorch's own counters on a GPU."""

import pytest

from gpuopt import memory
from gpuopt.memory.pool_torch import TorchPool
from tests.gpu.tools import note
from tests.optional import optional

torch = optional("torch")
if not torch.cuda.is_available():
    pytest.skip("NOT TESTED: this PyTorch sees no GPU", allow_module_level=True)

from tests.memory.torch_networks import NETWORKS, Training  # noqa: E402

BATCHES = (256, 1024, 4096, 16384)
SEGMENTS = 44 * 2**20  # bytes that segments which are there already may have free for a step
WITHIN = 0.03


def peaks(training, batch_size):
    """The most bytes allocated and reserved in two steps, beyond those before."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    index = torch.arange(batch_size) % 64
    for _ in range(2):
        batch = training.X[index.numpy()], training.Y[index.numpy()]
        loss = training.step(*batch)
    del loss
    after = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize("name", NETWORKS)
def test_peaks_are_those_of_pytorch_s_counters(name):
    training = Training(name, device="cuda")
    report = memory.fit(training.step, training.X, training.Y, most=16384, budget="8GiB")
    fresh = Training(name, device="cuda")
    fresh.step(fresh.X, fresh.Y)
    fresh.optimizer.state.clear()
    fresh.optimizer.zero_grad()
    errors = {}
    for batch_size in BATCHES:
        allocated, reserved = peaks(fresh, batch_size)
        fresh.optimizer.state.clear()
        fresh.optimizer.zero_grad()
        pool = TorchPool()
        report.replay(batch_size, pool)
        errors[batch_size] = pool.peak_used / allocated - 1
        note("memory fit torch", network=name, batch=batch_size, allocated=allocated,
             reserved=reserved, error=errors[batch_size],
             reserved_error=pool.peak_total / reserved - 1)  # fmt: skip
        assert abs(pool.peak_total - reserved) <= SEGMENTS + WITHIN * reserved
    assert report.doubt is None, report
    assert all(abs(error) <= WITHIN for error in errors.values()), errors


def test_what_fits_comes_through_and_what_does_not_runs_out(monkeypatch):
    # other tests run at the same time, and what they take would look like this step's
    monkeypatch.setattr("gpuopt.memory.places_torch.TorchCuda.outside", lambda self: 0)
    training = Training("transformer", device="cuda")
    given = {"most": 2**20, "budget": "400MiB"}
    found = memory.fit(training.step, training.X, training.Y, **given)
    sizes = [found.largest, int(1.5 * found.largest)]
    report = memory.fit(training.step, training.X, training.Y, **given, verify=sizes)
    note("memory fit torch verdicts", runs=list(map(str, report.verified)))
    assert [run.passed for run in report.verified] == [True, False]


def test_probing_leaves_everything_bit_for_bit():
    training = Training("conv", device="cuda")
    training.step(training.X, training.Y)
    before = [x.clone() for x in training.net.state_dict().values()]
    moments = [s["exp_avg"].clone() for s in training.optimizer.state.values()]
    torch.cuda.manual_seed(3)
    expected = torch.rand(5, device="cuda")
    torch.cuda.manual_seed(3)

    def step(x, y):
        training.step(x * torch.rand_like(x), y)

    memory.fit(step, training.X, training.Y, most=512)
    assert torch.equal(torch.rand(5, device="cuda"), expected)
    for mine, was in zip(training.net.state_dict().values(), before, strict=True):
        assert torch.equal(mine, was)
    for state, was in zip(training.optimizer.state.values(), moments, strict=True):
        assert torch.equal(state["exp_avg"], was)
