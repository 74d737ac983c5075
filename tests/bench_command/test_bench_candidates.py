"""Who takes part, in which memory, and who is left out."""

import numpy as np
import pytest

from gpuopt.bench import peers
from gpuopt.bench.candidates import Skipped, candidates
from gpuopt.bench.gate import gate
from gpuopt.bench.problem import Problem
from tests.optional import optional

ADAM = Problem("Adam", "some", [(33, 5), (10,)])


def through(names):
    """The candidates that went through the gate, by name."""
    made, _ = candidates(ADAM, ["numpy"], names)
    gate(ADAM, made)
    return {x.name: x for x in made}


WHO = ["torch foreach", "gpuopt.torch", "Thinc", "gpuopt.thinc", "naive NumPy"]


@pytest.mark.parametrize("name", WHO)
def test_who_can_works_in_the_same_memory(name):
    """After the gate a step moves the place's parameters and, but for the naive one, its state."""
    optional("torch")
    optional("thinc")
    made = through(["torch", "gpuopt.torch", "thinc", "gpuopt.thinc", "naive"])
    place = made[name].place
    made[name].step()
    assert not np.array_equal(place.params[0].reshape(-1), place.start(0, 0, place.params[0].size))
    assert place.flat["v"].any() == place.flat["m"].any() == (name != "naive NumPy")


def test_gpuopts_own_arrays_are_those_for_the_limit():
    ours = through([])["gpuopt numpy"]
    place = ours.place
    assert ours.arrays is not None
    assert [id(x) for x in ours.arrays] == [id(place.flat[name]) for name in ("p", "m", "v", "g")]
    ours.step()
    assert place.flat["v"].any()


def test_backends_of_another_device_and_unknown_peers():
    made, skipped = candidates(ADAM, ["numpy", "cupy"], ["torchao", "apex"])
    assert [x.name for x in made] == ["gpuopt numpy"]
    assert skipped[0] == Skipped("torchao", "it is measured on a GPU only")
    assert skipped[1].what == "apex"
    assert "there is no such peer; there are naive," in skipped[1].why


def test_a_peer_that_is_not_installed_or_raises_is_left_out(monkeypatch):
    monkeypatch.setitem(peers.PEERS, "none", peers.Peer("none", "no_such_module", None))
    monkeypatch.setitem(peers.PEERS, "broken", peers.Peer("no_such_file", "numpy", None))
    made, skipped = candidates(ADAM, ["numpy"], ["none", "broken"])
    assert [x.name for x in made] == ["gpuopt numpy"]
    assert [x.what for x in skipped] == ["none", "broken"]
    assert skipped[0].why == "no_such_module is not installed"
    assert "No module named" in skipped[1].why
