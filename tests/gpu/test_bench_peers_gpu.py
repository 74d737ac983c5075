"""Peers of the benchmark on a GPU: whoever is installed takes gpuopt's steps."""

import pytest

from gpuopt import backends, rules
from gpuopt.bench.candidates import candidates
from gpuopt.bench.gate import gate
from gpuopt.bench.problem import Problem
from tests.optional import optional

SHAPES = [(33, 5), (10,), (8192,), (0,)]
RULES = [cls.__name__ for cls in rules.ALL]
USABLE = [name for name in backends.GPU if backends.unavailable(name) is None]
# torchao is left out: it compiles for minutes.
PEERS = ["naive", "torch", "gpuopt.torch", "thinc", "gpuopt.thinc", "bitsandbytes"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_everyone_takes_the_same_steps(rule, dtype):
    torch = optional("torch")
    if not torch.cuda.is_available():
        pytest.skip("NOT TESTED: torch has no GPU here")
    problem = Problem(rule, "some", SHAPES, dtype, "cuda:0")
    made, skipped = candidates(problem, USABLE, PEERS)
    print([(x.what, x.why) for x in skipped], gate(problem, made))
    names = {x.name for x in made}
    assert names >= {*(f"gpuopt {name}" for name in USABLE), "gpuopt.torch"}
    if hasattr(torch.optim, rule):
        assert names >= {"torch for-loop", "torch foreach"}
    if rule == "Adam" and dtype in ("float32", "float64"):
        assert "naive CuPy" in names


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_copies_go_both_ways(dtype):
    optional("torch")
    problem = Problem("Adam", "some", SHAPES, dtype, "cuda:0", copies=True)
    made, _ = candidates(problem, USABLE, [])
    gate(problem, made)
    place = made[0].place
    before = place.host()[2]
    made[0].step()
    assert (place.host()[2] != before).any()


def test_rounds_of_steps_keep_numbers_finite():
    problem = Problem("Adam", "some", SHAPES, "float32", "cuda:0")
    made, _ = candidates(problem, USABLE, ["naive", "torch"])
    gate(problem, made)
    for _ in range(20):
        for candidate in made:
            candidate.step()
    assert all(abs(p).max(initial=0) < 10 for p in made[0].params())
