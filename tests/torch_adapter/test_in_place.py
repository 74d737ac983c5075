"""Gradients are read and parameters are written where they lie, however they lie, and autograd
knows of it."""

import pytest

from tests.torch_adapter.beside import close, ours, parameters, torch, train

GRADIENTS = {
    "strided": lambda g: torch.stack([g, g], -1)[..., 0],
    "transposed": lambda g: g.t().contiguous().t(),
    "expanded": lambda g: g[:1].expand(g.shape),
    "expanded number": lambda g: torch.tensor(0.5, dtype=g.dtype).expand(g.shape),
    "negated when read": lambda g: torch._neg_view(g),
    "conjugated when read": lambda g: g.conj(),
    "another class": lambda g: torch.nn.Parameter(g),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("lay", GRADIENTS.values(), ids=GRADIENTS)
def test_gradients_that_lie_otherwise(lay, dtype):
    """First, or after a plain one, and back: all are read rightly where they lie."""
    pair = []
    for side in (ours, torch.optim):
        params = parameters(shapes=[(9, 33)], dtype=dtype)
        opt = side.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1, foreach=False)
        make = torch.Generator().manual_seed(1)
        for plain in (False, True, True, False, False, True):
            g = torch.randn(9, 33, generator=make, dtype=dtype)
            params[0].grad = g if plain else lay(g)
            opt.step()
        pair.append(params)
    close(*pair)


def test_autograd_sees_that_parameters_changed():
    w = torch.ones(8, requires_grad=True)
    opt = ours.Adam([w])
    for _ in range(2):
        loss = (w * w).sum()
        w.grad = torch.ones(8)
        version = w._version
        opt.step()
        assert w._version > version
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.parametrize("side", [ours, torch.optim], ids=["gpuopt", "torch"])
def test_autograd_sees_that_state_changed(side):
    """A loss that reads the second moments (as of a learned or regularised preconditioner)."""
    w, x = torch.ones(8, requires_grad=True), torch.ones(8, requires_grad=True)
    opt = side.Adam([w], foreach=False)
    w.grad = torch.ones(8)
    opt.step()
    for _ in range(2):
        loss = (x * opt.state[w]["exp_avg_sq"]).sum()
        opt.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
    loss = (x * opt.state[w]["exp_avg_sq"]).sum()
    loss.backward()
    assert torch.equal(x.grad, opt.state[w]["exp_avg_sq"])


@pytest.mark.parametrize("compiled", [True, False])
def test_versions_of_all_that_a_step_writes_and_of_nothing_else(compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr("gpuopt.torch.layout.reader", lambda: None)
    params = parameters()
    opt = ours.NAdam(params, lr=0.1)
    train(opt, 2)
    opt.state[params[0]]["mine"] = torch.zeros(3)
    params[1].grad = None

    def versions():
        return {
            (k, key): x._version
            for k, p in enumerate(params)
            for key, x in {**opt.state[p], "p": p, "g": p.grad}.items()
            if x is not None
        }

    before = versions()
    opt.step()
    changed = {key for key, version in versions().items() if version != before[key]}
    written = {"p", "exp_avg", "exp_avg_sq"}
    assert {(k, key) for k, key in changed if key not in ("step", "mu_product")} == {
        (k, key) for k in (0, 2, 3) for key in written
    }
    assert {(k, key) for k in (0, 2, 3) for key in ("step", "mu_product")} <= changed
    assert all(version - before[key] >= 0 for key, version in versions().items())


def test_a_step_that_is_refused_raises_no_version():
    params = parameters()
    opt = ours.Adam(params, lr=0.1)
    train(opt, 2)
    before = [x._version for p in params for x in (p, *opt.state[p].values())]
    params[2].grad = params[2].detach()
    with pytest.raises(ValueError, match="share memory"):
        opt.step()
    assert [x._version for p in params for x in (p, *opt.state[p].values())] == before


def test_nothing_outside_a_view_is_written():
    whole = torch.arange(600.0).reshape(20, 30)
    left = whole.clone()
    views = [whole[1:9:2, 3:-3:2], whole[10:19, 5:26].t()]
    opt = ours.Adam([v.requires_grad_() for v in views], lr=0.5)
    train(opt, 3)
    inside = torch.zeros(20, 30, dtype=torch.bool)
    inside[1:9:2, 3:-3:2] = True
    inside[10:19, 5:26] = True
    assert torch.equal(whole.detach() != left, inside)


def test_two_optimizers_over_one_flat_tensor():
    flat, expected = torch.ones(65), torch.ones(65)
    for side, memory in ((ours, flat), (torch.optim, expected)):
        low, high = memory[:33].requires_grad_(), memory[33:].requires_grad_()
        first, second = side.Adam([low], lr=0.1), side.SGD([high], lr=0.3)
        for _ in range(3):
            train(first, 1)
            train(second, 1)
    close([flat], [expected])
