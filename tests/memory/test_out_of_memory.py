"""Verdicts against processes that really run out of memory."""

import ctypes
import os
import resource

import numpy as np
import pytest

import gpuopt
from gpuopt import memory
from gpuopt.blas import one_blas_thread
from gpuopt.memory.isolated import possible
from tests.memory.networks import Network

pytestmark = pytest.mark.skipif(not possible(), reason="needs fork and RLIMIT_DATA")

CASES = [
    ((784, 64, 10), gpuopt.SGD, np.float32, "32MiB"),
    ((200, 300, 10), gpuopt.Adam, np.float32, "24MiB"),
    ((64, 256, 128, 10), gpuopt.Adam, np.float64, "48MiB"),
    ((20, 500, 2), gpuopt.Momentum, np.float32, "64MiB"),
    ((784, 10), gpuopt.RMSprop, np.float64, "50MB"),
]


def network(sizes, maker, dtype, budget):
    return Network(sizes, lambda p: maker(p, lr=0.01, backend="numpy"), dtype)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: str(case[0]))
def case(request):
    """What makes a network, and the report on it."""
    *_, budget = request.param
    net = network(*request.param)
    report = memory.fit(net.step, net.X, net.Y, axis=1, most=2**20, budget=budget)
    return request.param, report


def test_what_is_said_to_fit_comes_through(case):
    given, first = case
    assert (first.verdict, first.batch_size) == ("fits", first.largest_power_of_two)
    sizes = [first.largest_power_of_two, first.largest, 8 * first.largest // 5]
    net = network(*given)
    report = memory.fit(net.step, net.X, net.Y, axis=1, most=2**20, budget=given[-1], verify=sizes)
    assert [run.passed for run in report.verified] == [True, True, False], report.verified
    assert not report.fits(sizes[2])
    assert all(abs(run.error) < 0.03 for run in report.verified[:2])
    assert "allocate" in report.verified[2].reason


def test_the_same_without_the_package_s_guard(case):
    given, report = case
    allowed = report.budget.bytes - report.seen.outside
    # this process begins with holes in its heap that the package's guard gives back first
    assert outcome(network(*given), 3 * report.largest // 4, allowed) == "through"
    assert outcome(network(*given), 8 * report.largest // 5, allowed) == "MemoryError"


def outcome(net, batch_size, budget):
    """What becomes of two steps in a child that may take `budget` bytes more."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            warm_up(net)
            limit(budget)
            with one_blas_thread():
                index = np.arange(batch_size) % net.X.shape[1]
                for _ in range(2):
                    batch = net.X[:, index], net.Y[:, index]
                    net.step(*batch)
            code = 0
        except MemoryError:
            code = 1
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return {0: "through", 1: "MemoryError"}.get(os.waitstatus_to_exitcode(status), "died")


def warm_up(net):
    """Let libraries take what they need, most of all the BLAS."""
    with one_blas_thread():
        square = np.ones((500, 500), net.X.dtype)
        square = square @ square
        copies = [p.copy() for p in net.params]
        type(net.optimizer)(copies, net.optimizer.rule, lr=0.01, backend="numpy").step(
            [p * 0 for p in copies]
        )
    del square, copies
    ctypes.pythonapi.malloc_trim(0)


def limit(more):
    with open("/proc/self/status") as file:
        taken = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (taken + more, resource.RLIM_INFINITY))
