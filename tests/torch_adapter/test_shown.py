"""torch's state of an optimizer, where a GPU may know what the host does not: whoever looks waits.

Here a counter stands in for the GPU.
"""

import copy
import gc
import pickle
from collections import defaultdict

import pytest

from tests.optional import optional
from tests.torch_adapter.beside import ours, parameters, torch, train

ShownState = optional("gpuopt.torch.shown").ShownState


class Device:
    def __init__(self):
        self.asked = 0

    def settle(self):
        self.asked += 1


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def state(device):
    return ShownState(device.settle, {1: {"step": 5}, 2: {"step": 6}})


LOOKS = {
    "[]": lambda s: s[1],
    "[] of none": lambda s: s[3],
    "get": lambda s: s.get(1),
    "get of none": lambda s: s.get(3, None),
    "items": lambda s: [*s.items()],
    "values": lambda s: [*s.values()],
    "keys": lambda s: [*s.keys()],
    "iter": lambda s: [*s],
    "pop": lambda s: s.pop(1),
    "popitem": lambda s: s.popitem(),
    "setdefault": lambda s: s.setdefault(1, {}),
    "dict": lambda s: dict(s),
    "**": lambda s: {**s},
    "|": lambda s: s | {},
    "copy": lambda s: s.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
    "repr": repr,
    "| from the left": lambda s: {} | s,
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_whoever_looks_waits_and_gets_what_a_defaultdict_gives(look, state, device):
    plain = defaultdict(dict, {1: {"step": 5}, 2: {"step": 6}})
    assert str(look(state)).replace("ShownState", "defaultdict") == str(look(plain)) or (
        look is pickle.dumps and pickle.loads(look(state)) == plain
    )
    assert device.asked > 0
    assert list(dict.items(state)) == list(plain.items())


def test_questions_that_need_no_answer_of_the_device(state, device):
    assert len(state) == 2
    assert 1 in state
    state[7] = {}
    assert bool(state)
    assert device.asked == 0


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda s: s.copy()])
def test_copies_are_plain(way, state):
    assert type(way(state)) is defaultdict
    assert type(pickle.loads(pickle.dumps(state))) is defaultdict
    assert way(state)[9] == {}


def test_it_keeps_nobody_alive(device):
    state = ShownState(device.settle, {1: {}})
    gc.disable()
    try:
        del device
        assert state[1] == {}
    finally:
        gc.enable()


@pytest.mark.usefixtures("by_numpy")
def test_an_optimizers_state_asks_its_binding(monkeypatch):
    params = parameters()
    opt = ours.Adam(params)
    train(opt, 2)
    asked = []
    binding = opt._binding
    monkeypatch.setattr(type(binding), "settled", property(lambda self: False))
    monkeypatch.setattr(binding, "settle", lambda: asked.append(1))
    assert float(opt.state[params[0]]["step"]) == 2
    assert len(opt.state_dict()["state"]) == 4
    assert len(asked) >= 2
    asked.clear()
    train(opt, 2)
    assert asked == []  # a step looks, and does not wait


@pytest.mark.usefixtures("by_numpy")
def test_a_state_that_the_user_gave_is_settled_by_the_step(monkeypatch):
    params = parameters()
    opt = ours.Adam(params)
    opt.state = mine = defaultdict(dict)
    train(opt, 1)
    binding, asked = opt._binding, []
    monkeypatch.setattr(binding, "settle", lambda: asked.append(1))
    train(opt, 1)
    assert asked == []
    monkeypatch.setattr(binding, "on_gpus", binding.bounds)
    binding.streams = lambda: torch.no_grad()
    train(opt, 1)
    assert asked == [1]
    assert opt.state is mine
