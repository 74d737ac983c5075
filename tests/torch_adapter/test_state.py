"""The state that torch.optim shows: what a user writes there is what the next step works on."""

import copy
from collections import defaultdict

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


@pytest.mark.parametrize("step", [2**22 - 1, 2**24, 2**24 + 1])
def test_step_counts_are_exact(step):
    params, opt = trained()
    d = opt.state_dict()
    for state in d["state"].values():
        state["step"] = torch.tensor(step, dtype=torch.float64)
    opt.load_state_dict(d)
    train(opt, 3)
    assert [int(opt.state[p]["step"]) for p in params] == [step + 3] * len(params)


def test_written_step_counts_are_used():
    params, opt = trained()
    opt.state[params[0]]["step"].fill_(100)
    opt.state[params[1]]["step"] = torch.tensor(200.0)
    opt.state[params[2]]["step"] = 300
    train(opt, 2)
    assert [int(opt.state[p]["step"]) for p in params] == [102, 202, 302, 5]


def replaced(state, new):
    state["exp_avg"] = new


def pointed(state, new):
    state["exp_avg"].data = new


@pytest.mark.parametrize("put", [replaced, pointed])
@pytest.mark.parametrize("make", [lambda: torch.ones(5, 7), lambda: torch.ones(7, 5).t()])
def test_a_buffer_that_was_exchanged_is_used(put, make):
    params, opt = trained()
    buffer = make()
    before = opt.state[params[1]]["exp_avg"].detach()  # the memory that was used
    put(opt.state[params[1]], buffer)
    left = before.clone()
    train(opt, 1)
    close([buffer], [0.9 + 0.1 * params[1].grad])
    same_bits([before], [left])


def emptied(opt):
    opt.state.clear()


def another(opt):
    opt.state = defaultdict(dict)


@pytest.mark.parametrize("forget", [emptied, another])
@pytest.mark.parametrize("name", SHARED)
def test_without_its_state_an_optimizer_begins_again(name, forget):
    options = {**SHARED[name], "initial_accumulator_value": 0.0}
    if name != "Adagrad":
        del options["initial_accumulator_value"]
    params, opt = trained(getattr(ours, name), **options)
    fresh = getattr(ours, name)([p.detach().clone().requires_grad_() for p in params], **options)
    forget(opt)
    train(opt, 2)
    train(fresh, 2)
    same_bits(bits(opt), bits(fresh))


def test_entries_of_others_in_the_state_stay():
    params, opt = trained()
    opt.state[params[0]]["note"] = 17
    opt.state[params[0]]["many"] = torch.zeros((1,) * 7)
    train(opt, 2)
    opt.load_state_dict(opt.state_dict())
    train(opt, 2)
    assert opt.state[params[0]]["note"] == 17
    assert opt.state[params[0]]["many"].shape == (1,) * 7
    assert opt.state[params[0]]["step"] == 7


def test_a_buffer_that_is_no_tensor():
    params, opt = trained()
    opt.state[params[3]]["exp_avg"] = [1.0]
    with pytest.raises(TypeError, match=r"'exp_avg' in the state of .*\[3\] is a list"):
        train(opt, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_adagrads_initial_accumulator(dtype):
    pair = []
    for side in (ours, torch.optim):
        opt = side.Adagrad(parameters(dtype=dtype), initial_accumulator_value=0.25)
        opt.add_param_group({"params": parameters(5, dtype=dtype)})
        train(opt, 3)
        pair.append(bits(opt))
    close(*pair)


def test_sgd_takes_its_first_gradient_undamped():
    pair = []
    for side in (ours, torch.optim):
        opt = side.SGD(parameters(), **SHARED["SGD"])
        train(opt, 2)
        opt.add_param_group({"params": parameters(5)})  # whose first step it is, and nobody else's
        opt.load_state_dict(copy.deepcopy(opt.state_dict()))
        train(opt, 2)
        pair.append(bits(opt))
    close(*pair)


def test_a_momentum_buffer_saved_as_none():
    _, opt = trained(ours.SGD, lr=0.1)
    d = opt.state_dict()
    d["state"] = {0: {"momentum_buffer": None}}  # PyTorch saves so without momentum
    opt.load_state_dict(d)
    train(opt, 2)
    _, expected = trained(torch.optim.SGD, lr=0.1)
    train(expected, 2)
    close(opt.param_groups[0]["params"], expected.param_groups[0]["params"])


def test_torchs_numbers_are_tensors_of_their_own():
    """Ours may be set to what a GPU has counted while somebody writes to these."""
    p = torch.nn.Parameter(torch.ones(3))
    opt = ours.NAdam([p])
    p.grad = torch.ones(3)
    opt.step()
    counts = opt._binding.bounds[0].numbers.counts
    theirs = {name: opt.state[p][name] for name in ("step", "mu_product")}
    before = {name: value.item() for name, value in theirs.items()}
    counts.put(0, 7)
    counts.carried["mu_product"][0] += 1
    assert before["step"] == 1
    assert {name: value.item() for name, value in theirs.items()} == before
