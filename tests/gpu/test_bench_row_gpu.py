"""A benchmark's row on a GPU: what its steps allocate, and whether its arrays fit in the L2."""

import cupy
import pytest

from gpuopt.bench import row as measuring
from gpuopt.bench.candidates import candidates
from gpuopt.bench.gate import gate
from gpuopt.bench.pace import Pace
from gpuopt.bench.place_gpu import CupyMemory
from gpuopt.bench.problem import Problem
from gpuopt.bench.temporaries import temporaries
from tests.optional import optional

SMALL, LARGE = 10**4, 3 * 10**7  # parameters; 160 kB and 480 MB of p, m, v and g


def test_steps_of_gpuopt_allocate_nothing_and_naive_ones_copies():
    optional("thinc")
    problem = Problem("Adam", "some", [(SMALL,)], device="cuda:0")
    made, _ = candidates(problem, ["cupy"], ["naive", "gpuopt.thinc"])
    gate(problem, made)
    found = temporaries(problem, made)
    assert (found["gpuopt cupy"], found["gpuopt.thinc"]) == (0, 0)
    assert found["naive CuPy"] > 2 * 4 * SMALL


def test_the_l2_is_that_of_the_device():
    assert CupyMemory(0).l2 == cupy.cuda.Device(0).attributes["L2CacheSize"] > 2**20


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_the_limit_is_measured_beside_what_does_not_fit_in_it(size, monkeypatch):
    monkeypatch.setattr(measuring, "LEAST_FOR_A_LIMIT", 0)
    monkeypatch.setattr(measuring, "above_limit", lambda row: None)  # whatever is measured here
    problem = Problem("Adam", "some", [(size,)], device="cuda:0")
    found = measuring.measure(problem, ["cupy"], [], Pace(0.1, 1, 0.0), print).row
    assert found is not None
    assert found["in_l2"] == (size == SMALL)
    assert any(name.startswith("limit") for name in found["times"]) == (size == LARGE)
