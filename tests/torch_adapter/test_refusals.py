"""What cannot be stepped is refused before anything changes, and the message says what and why."""

import warnings

import pytest

from tests.torch_adapter.beside import ours, parameters, same_bits, torch, train

pytestmark = pytest.mark.usefixtures("by_numpy")
PLACE = r"params\[1\]"


def clones(tensors):
    return [x.detach().clone() for x in tensors]


def fake():
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        return torch.zeros(3, requires_grad=True)


REFUSED = {
    "meta": (lambda: torch.zeros(3, device="meta", requires_grad=True), "meta tensor.*to_empty"),
    "fake": (fake, "fake tensor.*to_empty"),
    "integers": (lambda: torch.zeros(3, dtype=torch.int64), "dtype torch.int64; gpuopt steps"),
    "flags": (lambda: torch.zeros(3, dtype=torch.bool), "dtype torch.bool; gpuopt steps"),
    "bytes": (lambda: torch.zeros(3, dtype=torch.uint8), "dtype torch.uint8; gpuopt steps"),
    "float8": (lambda: torch.zeros(4).to(torch.float8_e4m3fn), "dtype torch.float8_e4m3fn"),
    "sparse": (
        lambda: torch.zeros(3).to_sparse().requires_grad_(),
        "layout torch.sparse_coo; gpuopt steps dense",
    ),
}


@pytest.mark.parametrize(("make", "why"), REFUSED.values(), ids=REFUSED)
def test_a_parameter_without_plain_memory_is_refused_when_it_gets_a_gradient(make, why):
    """Frozen, as in quantised or offloaded base models, it may be there."""
    params, frozen = parameters(), make()
    opt = ours.Adam([params[0], frozen, params[1]])
    opt.add_param_group({"params": [make(), *params[2:]]})
    twins = parameters()
    peer = ours.Adam([*twins[:2]])
    peer.add_param_group({"params": twins[2:]})

    def step(one, leaves):
        for k, p in enumerate(leaves):
            p.grad = torch.full_like(p, k + 1.0)
        one.step()

    for _ in range(3):
        step(opt, params)
        step(peer, twins)
    same_bits(params, twins)
    assert len(opt.state) == len(params)
    opt.load_state_dict(opt.state_dict())
    frozen.grad = frozen.detach().clone()
    with pytest.raises(TypeError, match=f"{PLACE}.*{why}"):
        step(opt, params)
    same_bits(params, twins)
    frozen.grad = None
    step(opt, params)
    step(peer, twins)
    same_bits(params, twins)
    assert float(opt.state[params[0]]["step"]) == 4


def test_an_optimizer_of_frozen_parameters_only():
    p = torch.zeros(3, dtype=torch.uint8)
    opt = ours.Adam([p], max_norm=1.0)
    opt.step()
    opt.step()
    assert len(opt.state) == 0
    with pytest.raises(RuntimeError, match="no norm was measured"):
        _ = opt.grad_norm


def test_a_frozen_parameter_that_becomes_one_that_can_be_stepped():
    p = torch.nn.Parameter(torch.ones(3, dtype=torch.uint8), requires_grad=False)
    opt = ours.SGD([p], lr=1.0)
    opt.step()
    p.data = torch.ones(3)
    p.grad = torch.ones(3)
    opt.step()
    assert p.tolist() == [0, 0, 0]


def test_errors_know_the_names_of_parameters():
    p = torch.zeros(3, device="meta", requires_grad=True)
    opt = ours.Adam([("head.bias", p)])
    p.grad = torch.zeros(3, device="meta")
    with pytest.raises(TypeError, match=r"^params\['head\.bias'\] is a meta tensor"):
        opt.step()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("SGD", "sparse=False, or use torch.optim.SGD for it, which has the same formula"),
        ("Adagrad", "sparse=False, or use torch.optim.Adagrad for it"),
        ("Adam", "sparse=False, or use torch.optim.SparseAdam for it"),
        ("AdamW", "sparse=False, or use torch.optim.SparseAdam for it"),
        ("RMSprop", "sparse=False$"),
        ("Lion", "sparse=False$"),
    ],
)
def test_a_sparse_gradient_is_told_what_takes_it(name, advice, first):
    params = parameters(shapes=[(5, 7), (5, 7)])
    opt = getattr(ours, name)(params)
    if not first:
        train(opt, 1)
    params[1].grad = torch.ones(5, 7).to_sparse()
    with pytest.raises(RuntimeError, match=f"gradient of .*{PLACE}.* is sparse.*{advice}"):
        opt.step()


def test_a_gradient_of_another_dtype():
    p = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    if not hasattr(p, "grad_dtype"):  # then PyTorch itself refuses it
        with pytest.raises(RuntimeError, match=r"dtype|type"):
            p.grad = torch.ones(3)
        return
    p.grad_dtype = None
    opt = ours.SGD([p], lr=0.5)
    p.grad = torch.ones(3)
    with pytest.raises(ValueError, match=r"has dtype torch.float32, but .* keep p.grad_dtype"):
        opt.step()
    assert (p == 1).all()
    p.grad = p.grad.to(p.dtype)
    opt.step()
    assert (p == 0.5).all()


@pytest.mark.parametrize("first", [True, False])
def test_a_sparse_gradient(first):
    params = [p.requires_grad_() for p in parameters(shapes=[(5, 7), (5, 7)])]
    opt = ours.SGD(params, lr=0.1, momentum=0.9)
    if not first:
        train(opt, 1)
    before = clones(params)
    params[0].grad = torch.ones(5, 7)
    params[1].grad = torch.ones(5, 7).to_sparse()
    with pytest.raises(RuntimeError, match=f"gradient of .*{PLACE}.* is sparse.*sparse=False"):
        opt.step()
    same_bits(params, before)
    train(opt, 1)


def test_the_gradient_of_a_sparse_embedding():
    table = torch.nn.Embedding(10, 3, sparse=True)
    opt = ours.SGD(table.parameters(), lr=0.1)
    table(torch.tensor([1, 4])).sum().backward()
    with pytest.raises(RuntimeError, match="is sparse"):
        opt.step()


def test_differentiable():
    with pytest.raises(ValueError, match=r"differentiable=True: .* use torch.optim's"):
        ours.Adam(parameters(), differentiable=True)
    opt = ours.Adam(parameters())
    with pytest.raises(ValueError, match="differentiable=True"):
        opt.add_param_group({"params": parameters(), "differentiable": True})
    assert len(opt.param_groups) == 1
    opt.param_groups[0]["differentiable"] = True
    with pytest.raises(ValueError, match="differentiable=True"):
        train(opt, 1)


@pytest.mark.parametrize("flag", ["foreach", "fused", "capturable"])
def test_flags_that_choose_an_implementation(flag):
    params, plain = parameters(), parameters()
    opt = ours.Adam(params, **{flag: True})
    assert opt.param_groups[0][flag] is True
    train(opt, 3)
    train(ours.Adam(plain), 3)
    same_bits(params, plain)
    opt.load_state_dict(opt.state_dict())
    train(opt, 1)


@pytest.mark.parametrize(
    ("key", "value", "error", "why"),
    [
        ("lr", float("inf"), ValueError, "lr must be finite, got inf"),
        ("lr", float("nan"), ValueError, "lr must be a number, got nan"),
        ("lr", torch.tensor(float("inf")), ValueError, "lr must be finite"),
        ("lr", "fast", TypeError, "lr must be a number"),
        ("weight_decay", -0.1, ValueError, "weight_decay must be finite and >= 0"),
        ("betas", (0.9, 1.0), ValueError, "beta"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_wrong_setting_assigned_later(first, key, value, error, why):
    params = parameters()
    opt = ours.Adam(params)
    opt.add_param_group({"params": parameters(5), "lr": 0.01})
    if not first:
        train(opt, 2)
    before, right = clones(params), opt.param_groups[1][key]
    opt.param_groups[0]["lr"] = 0.3  # right, and taken over only with the step
    opt.param_groups[1][key] = value
    with pytest.raises(error, match=why):
        train(opt, 1)
    same_bits(params, before)
    opt.param_groups[1][key] = right
    train(opt, 1)
    assert opt.state[params[0]]["step"] == (1 if first else 3)


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_max_norm_below_zero(value):
    with pytest.raises(ValueError, match="max_norm must be"):
        ours.SGD(parameters(), max_norm=value)


def test_the_same_parameter_twice():
    p = parameters()[0]
    with pytest.raises(ValueError, match="more than one parameter group"):
        ours.SGD([{"params": [p]}, {"params": [p]}])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of the same
        opt = ours.SGD([p, p])
    with pytest.raises(ValueError, match=r"\[0\].* and .*\[1\].* share memory"):
        train(opt, 1)
    same_bits([p], [parameters()[0]])


def test_parameters_that_overlap():
    whole = torch.zeros(40)
    opt = ours.SGD([("low", whole[:30].requires_grad_()), ("high", whole[29:].requires_grad_())])
    with pytest.raises(ValueError, match=r"low.* and .*high.* share memory"):
        train(opt, 1)
    assert not whole.any()


def test_a_gradient_that_is_a_parameter():
    p, q = (torch.ones(6, requires_grad=True) for _ in range(2))
    opt = ours.SGD([p, q])
    p.grad, q.grad = torch.ones(6), torch.ones(6)
    opt.step()
    before = clones([p, q])
    q.grad = p.detach()
    with pytest.raises(ValueError, match="share memory"):
        opt.step()
    same_bits([p, q], before)


def test_an_expanded_parameter():
    p = torch.ones(1).expand(5).requires_grad_()
    opt = ours.SGD([p])
    p.grad = torch.ones(5)
    with pytest.raises(ValueError, match=r"elements that share memory.* pass a copy"):
        opt.step()
    assert (p == 1).all()
