"""The tensors in a state stay the same ones, and are written in place, for as long as they fit."""

import copy

import pytest

from tests.torch_adapter.beside import SHARED, bits, ours, parameters, same_bits, torch, train

pytestmark = pytest.mark.usefixtures("by_numpy")
COUNTED = [name for name in SHARED if name != "SGD"]


def moved(opt, params):
    params[0].data = params[0].data.clone()


def shared(opt, params):
    for state in opt.state.values():
        state["step"].share_memory_()


def other_count(opt, params):
    opt.state[params[1]]["step"].fill_(7)


def other_buffer(opt, params):
    key = next(key for key in opt.state[params[2]] if key != "step")
    opt.state[params[2]][key] = opt.state[params[2]][key].clone()


def other_group(opt, params):
    opt.param_groups[:] = [dict(group) for group in opt.param_groups]
    opt.param_groups[0]["params"] = [*params]


REMADE = {"moved": moved, "shared": shared, "count": other_count, "buffer": other_buffer}


@pytest.mark.parametrize("change", REMADE.values(), ids=REMADE)
@pytest.mark.parametrize("name", COUNTED)
def test_another_binding_takes_the_tensors_that_are_there(change, name):
    params = parameters()
    opt = getattr(ours, name)(params, **SHARED[name])
    train(opt, 2)
    binding = opt._binding
    change(opt, params)
    before = {(p, key): x for p in params for key, x in opt.state[p].items()}
    counts = [int(opt.state[p]["step"]) for p in params]
    train(opt, 2)
    assert opt._binding is not binding
    after = {(p, key): x for p in params for key, x in opt.state[p].items()}
    assert before.keys() == after.keys()
    assert all(after[key] is before[key] for key in before)
    assert [int(opt.state[p]["step"]) for p in params] == [count + 2 for count in counts]


def test_a_count_in_shared_memory_goes_on_being_shared():
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 1)
    mine = [opt.state[p]["step"] for p in params]
    for step in mine:
        step.share_memory_()
    for _ in range(2):
        params[0].data = params[0].data.clone()
        train(opt, 1)
    assert [opt.state[p]["step"] for p in params] == [3] * len(params)
    assert all(opt.state[p]["step"] is step for p, step in zip(params, mine, strict=True))
    assert all(step.is_shared() for step in mine)


def test_two_optimizers_that_share_their_state_count_together():
    """As processes that train one model with state in shared memory (A3C)."""
    params, twins = parameters(), parameters()
    pair = ours.Adam(params, lr=0.1), ours.Adam(params, lr=0.1)
    theirs = torch.optim.Adam(twins, lr=0.1), torch.optim.Adam(twins, lr=0.1)
    for first, second in (pair, theirs):
        train(first, 1)
        for p, state in first.state.items():
            for key, value in state.items():
                second.state[p][key] = value.share_memory_()
        for k in range(6):
            train((first, second)[k % 2], 1, seed=k)
    for p, q in zip(params, twins, strict=True):
        for opt in pair:
            assert float(opt.state[p]["step"]) == 7
            assert opt.state[p]["step"].is_shared()
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_a_count_that_the_user_put_there_is_written_in_place(dtype, shape):
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 1)
    given = torch.full(shape, 5, dtype=dtype)
    opt.state[params[1]]["step"] = given
    train(opt, 2)
    assert opt.state[params[1]]["step"] is given
    assert given.item() == 7
    assert given.shape == shape


@pytest.mark.parametrize(
    "make",
    [lambda: 5, lambda: 5.0, lambda: torch.tensor(5.0, dtype=torch.bfloat16)],
    ids=["int", "float", "bfloat16"],
)
def test_a_count_that_cannot_be_written_is_replaced(make):
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 1)
    opt.state[params[1]]["step"] = make()
    train(opt, 2)
    step = opt.state[params[1]]["step"]
    assert (step.item(), step.dtype) == (7, torch.float32)


def test_one_tensor_for_two_parameters_is_told_apart():
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 1)
    opt.state[params[0]]["step"] = opt.state[params[1]]["step"]
    params[0].grad = None
    for p in params[1:]:
        p.grad = torch.ones_like(p)
    opt.step()
    assert [float(opt.state[p]["step"]) for p in params] == [1, 2, 2, 2]


@pytest.mark.parametrize("name", COUNTED)
def test_counts_that_were_loaded_or_copied_are_set_at_once(name):
    """Else a step after a resume takes as long as all its parameters' counts."""
    params = parameters()
    opt = getattr(ours, name)(params, **SHARED[name])
    train(opt, 2)
    many = len(opt._binding.bounds[0].numbers.runs)
    assert many <= 3  # the steps, and what NAdam and ASGD carry
    for made in (opt, copy.deepcopy(opt)):
        made.load_state_dict(copy.deepcopy(made.state_dict()))
        train(made, 1)
        assert len(made._binding.bounds[0].numbers.runs) == many
    same_bits(bits(made), bits(opt))
