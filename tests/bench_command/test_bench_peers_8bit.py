"""bitsandbytes and torchao, which need a GPU, by fakes with their signatures."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from gpuopt.bench import peers
from gpuopt.bench.candidates import Skipped, candidates
from gpuopt.bench.gate import gate
from gpuopt.bench.problem import Problem
from tests.optional import optional

SHAPES = [(33, 5), (10,)]
NAMES = ["bitsandbytes", "torchao"]


class Bitsandbytes:
    """The constructor, the names of its state and the step of bitsandbytes 0.50."""

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        optim_bits=32,
        args=None,
        min_8bit_size=4096,
        is_paged=False,
    ):
        import torch

        self.opt = torch.optim.Adam(params, lr, betas, eps, weight_decay)
        self.param_groups, self.state = self.opt.param_groups, {}

    def step(self):
        names = {"exp_avg": "state1", "exp_avg_sq": "state2"}
        for p, state in self.state.items():
            self.opt.state[p] |= {old: state[new] for old, new in names.items()}
        self.opt.step()
        for p, state in self.opt.state.items():
            self.state[p] = {new: state[old] for old, new in names.items()}


class Torchao:
    """The constructor of torchao 0.18's."""

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0,
        amsgrad=False,
        *,
        block_size=256,
        bf16_stochastic_round=False,
    ):
        self.params, self.lr = params, lr

    def step(self):
        for p in self.params:
            p.data.sub_(self.lr * p.grad.sign())


@pytest.fixture
def fakes(monkeypatch):
    """Both libraries with nothing but their signatures, measured on the CPU."""
    optional("torch")
    bnb = SimpleNamespace(Adam32bit=Bitsandbytes, Adam8bit=Bitsandbytes)
    for name, optim in (("bitsandbytes", bnb), ("torchao", SimpleNamespace(Adam8bit=Torchao))):
        module = ModuleType(name)
        module.optim = optim  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setitem(peers.PEERS, name, peers.Peer(name, "numpy", None))
        monkeypatch.delitem(sys.modules, f"gpuopt.bench.peers.{name}", raising=False)
    yield
    for name in NAMES:
        sys.modules.pop(f"gpuopt.bench.peers.{name}", None)


@pytest.mark.usefixtures("fakes")
def test_eight_bits_have_no_parity_and_say_so():
    problem = Problem("Adam", "some", SHAPES)
    all_, skipped = candidates(problem, ["numpy"], NAMES)
    gate(problem, all_)
    made = {x.name: x for x in all_}
    assert not skipped
    for name in ("bitsandbytes 8-bit", "torchao 8-bit"):
        assert made[name].tolerance is None
        assert "no parity" in made[name].remark
    assert made["bitsandbytes"].tolerance == made["gpuopt numpy"].tolerance
    place = made["bitsandbytes"].place
    made["bitsandbytes"].step()
    assert place.flat["m"].any()
    assert place.flat["v"].any()


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize(
    ("rule", "dtype", "why"),
    [
        ("SGD", "float32", "without momentum"),
        ("NAdam", "float32", "has no"),
        ("Adam", "float64", ""),
    ],
)
def test_what_eight_bit_libraries_have_not(rule, dtype, why):
    made, skipped = candidates(Problem(rule, "some", SHAPES, dtype), ["numpy"], NAMES)
    assert [x.name for x in made] == ["gpuopt numpy"]
    assert [x.what for x in skipped] == NAMES
    assert any(why in x.why for x in skipped)


@pytest.mark.usefixtures("fakes")
def test_what_would_be_compiled_for_minutes_is_left_out():
    shapes = [(k,) for k in range(1, 14)]
    _, skipped = candidates(Problem("Adam", "many", shapes), ["numpy"], ["torchao"])
    assert skipped == [Skipped("torchao", "it would be compiled 13 times, for each shape once")]
