"""What a step allocates beyond what it keeps: NumPy's arrays, and those of CuPy's pool."""

import numpy as np

from gpuopt.bench.candidates import candidates
from gpuopt.bench.gate import gate
from gpuopt.bench.problem import Problem
from gpuopt.bench.temporaries import from_the_pool, of_numpy, temporaries
from tests.bench_command.bench_pool import entered, like_a_gpu
from tests.optional import optional

SHAPES = [(33, 5), (10,)]


def test_the_least_of_some_steps_after_the_first():
    sizes = iter([10, 10**6, 10_000, 10**5])
    assert 10_000 <= of_numpy(lambda: np.empty(next(sizes), np.uint8)) < 11_000


def test_of_the_pool_it_is_the_most_at_one_time(cupy_stand_in, monkeypatch):
    like_a_gpu(cupy_stand_in, monkeypatch)
    empty, first = cupy_stand_in.empty, iter([7000, 0])

    def step():
        kept = [empty(next(first), np.uint8)]  # the first time only
        kept += [empty(1000, np.uint8), empty(10, np.uint8)]
        kept.pop()
        kept.pop()
        return empty(600, np.uint8)

    assert from_the_pool(step) == 1024 + 512
    assert entered == []


def test_what_a_step_gives_back_first_it_may_take_again(cupy_stand_in, monkeypatch):
    like_a_gpu(cupy_stand_in, monkeypatch)
    state = [cupy_stand_in.empty(2048, np.uint8)]

    def step():
        state.clear()
        state.append(cupy_stand_in.empty(2048, np.uint8))

    assert from_the_pool(step) == 0


def test_gpuopts_own_steps_on_a_gpu_take_nothing(cupy_stand_in, monkeypatch):
    optional("thinc")
    like_a_gpu(cupy_stand_in, monkeypatch)
    problem = Problem("Adam", "some", SHAPES, device="cuda:0")
    made, _ = candidates(problem, ["cupy"], ["gpuopt.thinc"])
    gate(problem, made)
    assert temporaries(problem, made) == {"gpuopt cupy": 0, "gpuopt.thinc": 0}


def test_on_the_cpu_those_whose_arrays_are_numpys():
    problem = Problem("SGD", "some", SHAPES)
    made, _ = candidates(problem, ["numpy"], ["naive", "torch"])
    gate(problem, made)
    assert list(temporaries(problem, made)) == ["gpuopt numpy", "naive NumPy"]
