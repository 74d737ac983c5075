"""Checkpoints and copies: torch.optim's own keys and hooks; what fails changes nothing."""

import copy
import io
import pickle

import pytest

from tests.torch_adapter.beside import (
    SHARED,
    bits,
    close,
    ours,
    parameters,
    same_bits,
    torch,
    train,
    trained,
)

pytestmark = pytest.mark.usefixtures("by_numpy")
SIDES = {"from torch": (torch.optim, ours), "to torch": (ours, torch.optim)}


def saved(opt):
    """Through a file that may hold tensors and plain Python only."""
    file = io.BytesIO()
    torch.save(opt.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("sides", SIDES.values(), ids=SIDES)
@pytest.mark.parametrize("name", SHARED)
def test_a_checkpoint_goes_on_in_the_other_library(name, sides):
    first, second = (getattr(side, name) for side in sides)
    params, opt = trained(first, 5, **SHARED[name])
    copied = [p.detach().clone().requires_grad_() for p in params]
    other = second(copied, lr=0.5)
    other.load_state_dict(saved(opt))
    assert other.param_groups[0]["lr"] == SHARED[name]["lr"]
    for seed in range(2, 22):
        train(opt, 1, seed)
        train(other, 1, seed)
        close(copied, params)


@pytest.mark.parametrize("name", SHARED)
def test_state_dicts_look_alike(name):
    found, expected = (
        trained(getattr(side, name), **SHARED[name])[1].state_dict() for side in (ours, torch.optim)
    )
    assert [g.keys() for g in found["param_groups"]] == [g.keys() for g in expected["param_groups"]]
    assert found["state"].keys() == expected["state"].keys()
    for k, state in expected["state"].items():
        assert found["state"][k].keys() == state.keys()
        for key, value in state.items():
            other = found["state"][k][key]
            exact = key in ("mu_product", "eta", "mu")  # which torch.optim rounds to float32
            dtype = torch.float64 if exact else value.dtype
            assert (other.shape, other.dtype) == (value.shape, dtype)
            close([other], [value])


def reloaded(opt):
    """Another optimizer, by way of a file."""
    copied = [p.detach().clone().requires_grad_() for p in opt.param_groups[0]["params"]]
    other = type(opt)(copied, lr=0.5)
    other.load_state_dict(saved(opt))
    return other


def unpickled(opt):
    return pickle.loads(pickle.dumps(opt))


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("how", [copy.deepcopy, unpickled, reloaded])
def test_copies_go_on_by_themselves(how, name):
    _, opt = trained(getattr(ours, name), **SHARED[name])
    other = how(opt)
    before = bits(other)
    train(opt, 4)
    same_bits(bits(other), before)
    train(other, 4)
    same_bits(bits(other), bits(opt))


def test_a_copy_keeps_max_norm():
    opt = ours.SGD(parameters(), lr=1.0, max_norm=0.5)
    other = copy.deepcopy(opt)
    train(other, 1)
    moved = [p - q for p, q in zip(parameters(), other.param_groups[0]["params"], strict=True)]
    assert torch.cat([x.detach().flatten() for x in moved]).norm() == pytest.approx(0.5, rel=1e-5)


def test_state_hooks():
    calls = []
    _, opt = trained()
    opt.register_state_dict_pre_hook(lambda opt: calls.append("before save"))
    opt.register_state_dict_post_hook(lambda opt, d: {**d, "more": 1})
    d = opt.state_dict()
    assert d.pop("more") == 1
    opt.register_load_state_dict_post_hook(lambda opt: calls.append("after load"))
    opt.load_state_dict(d)
    assert calls == ["before save", "after load"]


def test_a_hook_that_replaces_the_loaded_dict():
    _, opt = trained()
    wrong, right = opt.state_dict(), copy.deepcopy(opt.state_dict())
    wrong = {**wrong, "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(3)}}}
    right["state"][0]["exp_avg"].fill_(7)
    other = ours.Adam(parameters())
    hook = other.register_load_state_dict_pre_hook(lambda opt, d: right)
    other.load_state_dict(wrong)
    assert (other.state[other.param_groups[0]["params"][0]]["exp_avg"] == 7).all()
    hook.remove()
    assert not other._optimizer_load_state_dict_pre_hooks


def wrong_shape(d):
    d["state"][2]["exp_avg_sq"] = torch.zeros(3)


def transposed(d):
    d["state"][1]["exp_avg"] = d["state"][1]["exp_avg"].t()


def another_group(d):
    d["param_groups"].append(copy.deepcopy(d["param_groups"][0]))


def one_parameter_less(d):
    d["param_groups"][0]["params"].pop()


@pytest.mark.parametrize("damage", [wrong_shape, transposed, another_group, one_parameter_less])
def test_a_load_that_fails_changes_nothing(damage):
    (_, opt), (_, twin) = trained(), trained()
    d = copy.deepcopy(opt.state_dict())
    d["param_groups"][0]["lr"] = 0.7
    damage(d)
    before = bits(opt)
    with pytest.raises(ValueError, match=r"shape|group"):
        opt.load_state_dict(d)
    assert opt.param_groups[0]["lr"] == 0.01
    same_bits(bits(opt), before)
    train(opt, 2)
    train(twin, 2)
    same_bits(bits(opt), bits(twin))


@pytest.mark.parametrize("by_load", [False, True])
def test_amsgrad_switched_on_later(by_load):
    _, opt = trained()
    if by_load:
        d = opt.state_dict()
        d["param_groups"][0]["amsgrad"] = True
        opt.load_state_dict(d)
    opt.param_groups[0]["amsgrad"] = True
    before = bits(opt)
    with pytest.raises(ValueError, match=r"'max_exp_avg_sq'.* make a new optimizer"):
        train(opt, 1)
    same_bits(bits(opt), before)
    opt.param_groups[0]["amsgrad"] = False
    train(opt, 1)
    assert opt.state[opt.param_groups[0]["params"][0]]["step"] == 4
