"""Memory that was taken away: an error that names the tensor, and nothing is read or written."""

import pytest

from tests.torch_adapter.beside import bits, ours, parameters, same_bits, torch, train

SHAPES = ((37,), (300, 500), (5, 7))


def trained(steps):
    params = parameters(shapes=SHAPES)
    opt = ours.Adam(params, lr=0.1)
    train(opt, steps)
    for p in params:
        p.grad = torch.ones_like(p)
    return params, opt


def a_gradient(params, opt):
    return params[1].grad


def a_parameter(params, opt):
    return params[1].data


def a_buffer(params, opt):
    return opt.state[params[1]]["exp_avg"]


WHERE = {
    "gradient": (a_gradient, r"the gradient of params\[1\] has no memory"),
    "parameter": (a_parameter, r"params\[1\] has no memory"),
    "buffer": (a_buffer, r"'exp_avg' in the state of params\[1\] has no memory"),
}


@pytest.mark.parametrize("size", ["none", "half", "one byte less"])
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("where", WHERE)
def test_a_storage_that_was_made_smaller(where, compiled, steps, size, monkeypatch):
    if where == "buffer" and steps == 0:
        steps = 2
    if not compiled:
        monkeypatch.setattr("gpuopt.torch.layout.reader", lambda: None)
        monkeypatch.setattr("gpuopt.torch.words.reader", lambda: None)
    find, why = WHERE[where]
    params, opt = trained(steps)
    # into memory that NumPy does not know: PyTorch lets no other be resized
    if where == "buffer":
        opt.load_state_dict(opt.state_dict())
        opt.state[params[1]]["exp_avg"] = opt.state[params[1]]["exp_avg"].clone()
    params[1].data = params[1].data.clone()
    victim = find(params, opt)
    storage, values = victim.untyped_storage(), victim.clone()
    whole = storage.nbytes()
    others = [x for x in bits(opt) if x.shape != SHAPES[1]]
    storage.resize_({"none": 0, "half": whole // 2, "one byte less": whole - 1}[size])
    for _ in range(2):
        with pytest.raises(ValueError, match=why):
            opt.step()
    storage.resize_(whole)
    same_bits([x for x in bits(opt) if x.shape != SHAPES[1]], others)
    victim.copy_(values)
    twins, twin = trained(steps)
    opt.step()
    twin.step()
    same_bits(bits(opt), bits(twin))
    assert len(twins) == len(params)


def test_a_frozen_parameter_may_be_without_memory():
    """As the parts of a model that is sharded or offloaded."""
    params = parameters(shapes=SHAPES)
    opt = ours.SGD(params, lr=1.0)
    params[1].untyped_storage().resize_(0)
    for _ in range(2):
        params[0].grad, params[2].grad = torch.ones_like(params[0]), torch.ones_like(params[2])
        opt.step()
    params[1].untyped_storage().resize_(4 * params[1].numel())
    params[1].data.zero_()
    params[1].grad = torch.ones_like(params[1])
    opt.step()
    assert (params[1] == -1).all()


def test_memory_that_a_step_works_on_cannot_be_resized():
    """PyTorch sees to it, since NumPy knows of it."""
    params, opt = trained(2)
    step = opt.state[params[0]]["step"]
    for tensor in (params[1].data, opt.state[params[1]]["exp_avg"], step):
        with pytest.raises(RuntimeError, match="not resizable"):
            tensor.untyped_storage().resize_(0)
    opt.step()
    assert step == 3


@pytest.mark.parametrize("key", ["step", "mu_product"])
@pytest.mark.parametrize("size", [0, 4])
def test_a_number_without_memory(key, size):
    params = parameters(shapes=SHAPES)
    opt = ours.NAdam(params)
    train(opt, 2)
    opt.load_state_dict(opt.state_dict())  # into new memory
    opt.state[params[1]][key].untyped_storage().resize_(size)
    before = [p.detach().clone() for p in params]
    with pytest.raises(ValueError, match=rf"'{key}' in the state of params\[[01]\] has no memory"):
        train(opt, 1)
    same_bits(params, before)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_memory_that_a_gradient_was_followed_to(steps):
    """One gradient of many at every step, in turns."""
    params = parameters(shapes=SHAPES)
    opt = ours.Adam(params, lr=0.1)
    train(opt, steps)
    for n in (0, 2, 1):
        for p in params:
            p.grad = torch.ones_like(p)
        params[n].grad.untyped_storage().resize_(0)
        before = [x.clone() for x in params]
        with pytest.raises(ValueError, match=rf"the gradient of params\[{n}\] has no memory"):
            opt.step()
        same_bits(params, before)
    train(opt, 1)
    assert [int(opt.state[p]["step"]) for p in params] == [steps + 1] * 3


@pytest.mark.parametrize("empty", [(0,), (3, 0)])
def test_an_empty_tensor_needs_none(empty):
    params = parameters(shapes=[(5,), empty])
    opt = ours.Adam(params, lr=0.1)
    for _ in range(3):
        for p in params:
            p.grad = torch.ones(p.shape)
            if not p.numel():
                p.grad.untyped_storage().resize_(0)
        opt.step()
    assert float(opt.state[params[1]]["step"]) == 3
