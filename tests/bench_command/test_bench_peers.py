"""Every peer takes gpuopt's steps, or says why it is left out."""

import pytest

from gpuopt import rules
from gpuopt.bench.candidates import candidates
from gpuopt.bench.gate import Mismatch, gate
from gpuopt.bench.peers.naive import NAIVE
from gpuopt.bench.problem import Problem
from tests.optional import optional

SHAPES = [(33, 5), (10,)]
RULES = [cls.__name__ for cls in rules.ALL]
TORCHS = [name for name in RULES if name not in ("Momentum", "Lion")]
THINCS = ("SGD", "Adam", "AdamW", "RAdam")
FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
NOT_OPTAXS = {
    "NAdam": "optax.nadam is another formula",
    "Rprop": "optax.rprop is another formula",  # which steps by the update before: 0 at first
    "ASGD": "optax has no asgd",
}


def through(rule, names, dtype="float32"):
    """The candidates that went through the gate, by name, and those left out, with the reason."""
    problem = Problem(rule, "some", SHAPES, dtype)
    made, skipped = candidates(problem, ["numpy"], names)
    gate(problem, made)
    return {x.name: x for x in made}, {x.what: x.why for x in skipped}


@pytest.mark.parametrize("rule", RULES)
def test_naive(rule):
    made, skipped = through(rule, ["naive"])
    assert ("naive NumPy" in made) == (rule in NAIVE)
    assert ("naive NumPy" in skipped) == (rule not in NAIVE)


@pytest.mark.parametrize("rule", RULES)
def test_torch(rule):
    optional("torch")
    made, skipped = through(rule, ["torch", "gpuopt.torch"])
    kinds = [name for name in made if name.startswith("torch")]
    fused = ["torch fused"] if rule in FUSED else []
    assert kinds == (["torch for-loop", "torch foreach", *fused] if rule in TORCHS else [])
    assert list(skipped) == ([] if fused else ["torch fused" if rule in TORCHS else "torch"])
    assert "gpuopt.torch" in made


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("rule", "numbers"), [("NAdam", "the product of mu"), ("ASGD", "eta and mu")]
)
def test_torch_in_other_dtypes(rule, numbers, dtype):
    optional("torch")
    made, _ = through(rule, ["torch", "gpuopt.torch"], dtype)
    remark = {"float64": f"keeps {numbers} in float32"}
    assert made["torch foreach"].remark == remark.get(dtype, f"keeps its state in {dtype}")
    assert made["gpuopt.torch"].tolerance == made["gpuopt numpy"].tolerance
    assert made["gpuopt.torch"].remark == ""


@pytest.mark.parametrize("rule", RULES)
def test_thinc(rule):
    optional("thinc")
    made, skipped = through(rule, ["thinc", "gpuopt.thinc"])
    theirs = ["Thinc"] if rule in ("SGD", "Adam", "AdamW") else []
    assert [x for x in made if "numpy" not in x] == theirs + ["gpuopt.thinc"] * (rule in THINCS)
    if rule == "RAdam":
        assert "t = 2" in skipped["Thinc"]
    if rule not in THINCS:
        assert skipped["gpuopt.thinc"] == f"Thinc has no {rule}"
    for name in {*made} - {"gpuopt numpy"}:
        assert "zeroes gradients" in made[name].remark
        made[name].step()
        assert (made[name].place.flat["g"] > 0).all()


def test_thinc_is_left_out_of_what_it_has_no_floats_for():
    optional("thinc")
    why = "Thinc's weights and state are in float32"
    assert through("Adam", ["thinc", "gpuopt.thinc"], "float64")[1] == {
        "Thinc": why, "gpuopt.thinc": why,
    }  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_optax(rule):
    optional("optax")
    made, skipped = through(rule, ["optax"])
    assert ("optax" in made) == (rule not in NOT_OPTAXS)
    assert skipped.get("optax") == NOT_OPTAXS.get(rule)


def test_optax_in_other_dtypes():
    optional("optax")
    assert "float64" in through("Adam", ["optax"], "float64")[1]["optax"]
    assert "state in bfloat16" in through("Adam", ["optax"], "bfloat16")[0]["optax"].remark


def test_a_library_that_is_wrong_is_found_by_the_gate():
    """torch 2.13's fused SGD leaves 16-bit parameters as they are; or it is mended."""
    torch = optional("torch")
    p = torch.full((64,), 0.5, dtype=torch.bfloat16, requires_grad=True)
    p.grad = torch.full_like(p, 100.0)
    torch.optim.SGD([p], lr=1e-3, fused=True).step()
    if bool((p == 0.5).any()):
        with pytest.raises(Mismatch, match=r"torch fused: .* took another step"):
            through("SGD", ["torch"], "bfloat16")
    else:
        assert "torch fused" in through("SGD", ["torch"], "bfloat16")[0]
