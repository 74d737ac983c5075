"""Training loops as people write them: what they do between two steps is what the next one uses."""

import warnings

import pytest

from tests.torch_adapter.beside import close, ours, parameters, same_bits, torch, train

OPTIONS = {"lr": 0.05, "weight_decay": 0.1}


def both(loop, name="Adam", **options):
    """Run `loop(optimizer, parameters)` on both sides; the parameters agree to rounding."""
    pair = []
    for side in (ours, torch.optim):
        params = parameters()
        loop(getattr(side, name)(params, **{**OPTIONS, **options}), params)
        pair.append(params)
    close(*pair)


def squares(params):
    return sum((p * p).sum() for p in params)


@pytest.mark.parametrize("context", [torch.no_grad, torch.enable_grad])
def test_a_closure_is_called_once_with_gradients_enabled(context):
    def loop(opt, params):
        calls = []

        def closure():
            calls.append(torch.is_grad_enabled())
            opt.zero_grad()
            loss = squares(params)
            loss.backward()
            return loss

        with context():
            losses = [opt.step(closure) for _ in range(3)]
            assert torch.is_grad_enabled() == (context is torch.enable_grad)
        assert calls == [True] * 3
        assert losses[0] > losses[1] > losses[2]

    both(loop)


def test_step_hooks():
    calls = []
    params = parameters()
    opt = ours.Adam(params)
    opt.register_step_pre_hook(lambda opt, args, kwargs: calls.append(params[0].detach().clone()))
    opt.register_step_post_hook(lambda opt, args, kwargs: calls.append(params[0].detach().clone()))
    train(opt, 2)
    same_bits(calls[1:3], [calls[1]] * 2)
    assert len(calls) == 4
    assert (calls[0] != calls[1]).all()


@pytest.mark.parametrize("to_none", [True, False])
def test_zero_grad(to_none):
    def loop(opt, params):
        for _ in range(4):
            opt.zero_grad(set_to_none=to_none)
            squares(params[:3]).backward()  # the last one's is None, or 0 after its first
            opt.step()
        opt.zero_grad(set_to_none=to_none)
        assert [p.grad is None for p in params] == [to_none] * 3 + [True]
        opt.step()

    both(loop)


def test_add_param_group_midway():
    def loop(opt, params):
        train(opt, 3)
        late = parameters(5)
        opt.add_param_group({"params": late, "lr": 0.2})
        train(opt, 3)
        params += late

    both(loop)


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_gradients_that_come_and_go(name):
    def loop(opt, params):
        make = torch.Generator().manual_seed(1)
        for present in ("1111", "1011", "1011", "0000", "0110", "1111", "0001", "1000", "1111"):
            for p, there in zip(params, present, strict=True):
                p.grad = torch.randn(p.shape, generator=make) if there == "1" else None
            opt.step()

    both(loop, name, **({"momentum": 0.9, "dampening": 0.5} if name == "SGD" else {}))


def test_learning_rates_and_decays():
    def loop(opt, params):
        group = opt.param_groups[0]
        group["lr"] = torch.tensor(0.05)
        train(opt, 2)
        group["lr"].fill_(0.2)
        train(opt, 2)
        group["lr"] = 0.01
        train(opt, 2)
        group["weight_decay"] = 0.3
        group["betas"] = (0.5, 0.99)
        group["maximize"] = True
        train(opt, 2)

    both(loop)


def test_a_weight_decay_that_is_a_tensor():
    pair = parameters(), parameters()
    given = ours.AdamW(pair[0], weight_decay=torch.tensor(0.25))
    train(given, 2)
    train(ours.AdamW(pair[1], weight_decay=0.25), 2)
    same_bits(*pair)
    given.param_groups[0]["weight_decay"].fill_(0.5)
    before = [p.detach().clone() for p in pair[1]]
    train(given, 1)
    assert (pair[0][0] != before[0]).all()


def test_frozen_parameters():
    def loop(opt, params):
        params[1].requires_grad_(False)
        for k in range(4):
            opt.zero_grad()
            squares(params).backward()
            opt.step()
            if k == 1:
                params[1].requires_grad_(True)

    both(loop)


def test_parameters_put_elsewhere():
    def loop(opt, params):
        train(opt, 2)
        old = params[1].data
        left = old.clone()
        params[1].data = torch.ones(7, 5).t()  # in another order as well
        train(opt, 2)
        same_bits([old], [left])
        params[1].data = params[1].data.contiguous()
        train(opt, 2)

    both(loop)


def test_gradients_changed_in_place_and_moved():
    def loop(opt, params):
        train(opt, 1)
        for _ in range(3):
            for p in params:
                p.grad.mul_(-0.5)
            opt.step()
            kept = [p.grad for p in params]  # so that the next ones lie elsewhere
            for p in params:
                p.grad = p.grad.clone()
            opt.step()
            assert all(p.grad.data_ptr() != g.data_ptr() for p, g in zip(params, kept, strict=True))

    both(loop)


def test_named_parameters():
    model = torch.nn.Linear(3, 2)
    opt = ours.Adam(model.named_parameters())
    assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
    train(opt, 1)
    opt.load_state_dict(opt.state_dict())
    opt.state[model.bias]["exp_avg"] = torch.zeros(3)
    with pytest.raises(ValueError, match=r"'exp_avg' in the state of params\['bias'\] has shape"):
        train(opt, 1)


def test_a_compiled_model():
    pair = []
    for side in (ours, torch.optim):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(9, 33), torch.nn.Tanh(), torch.nn.Linear(33, 1))
        x = torch.randn(16, 9)
        opt = side.Adam(model.parameters(), lr=0.01)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own
            compiled = torch.compile(model, backend="eager")
            for _ in range(4):
                opt.zero_grad()
                compiled(x).square().mean().backward()
                opt.step()
        pair.append(list(model.parameters()))
    close(*pair)


def test_a_compiled_training_step():
    """torch.compile meets `step` while it traces: it leaves that alone, without a word."""
    pair, graphs = [], []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    for side in (ours, torch.optim):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(9, 33), torch.nn.Tanh(), torch.nn.Linear(33, 1))
        opt = side.Adam(model.parameters(), lr=0.01)

        def train_once(x, model=model, opt=opt):
            opt.zero_grad()
            model(x).square().mean().backward()
            opt.step()

        run = train_once if side is torch.optim else torch.compile(train_once, backend=backend)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            for k in range(4):
                run(torch.full((16, 9), k + 1.0))
        pair.append(list(model.parameters()))
    close(*pair)
    assert len(graphs) == 1  # of the model


def test_a_compiled_step_is_left_as_it_is():
    p = torch.nn.Parameter(torch.zeros(4))
    opt = ours.SGD([p], lr=1.0)
    p.grad = torch.ones(4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        step = torch.compile(opt.step, backend="eager")
        step()
        step()
    assert torch.equal(p, torch.full((4,), -2.0))
