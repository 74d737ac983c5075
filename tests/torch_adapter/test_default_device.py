"""Whatever device PyTorch's constructors use by default, gpuopt's own tensors lie where they must.

A tensor on `meta` has no memory: one that is made there by mistake cannot be used.
"""

import copy
import pickle

import pytest

from tests.torch_adapter.beside import SHARED, bits, ours, parameters, same_bits, torch

OPTIMIZERS = {**SHARED, "Momentum": {"lr": 0.1}, "Lion": {"lr": 0.1}}


@pytest.fixture(params=["context", "default"])
def on_meta(request):
    """Makes `meta` the device of tensors that are made without one."""
    if request.param == "context":
        with torch.device("meta"):
            yield
        return
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def gradients(params, k):
    for n, p in enumerate(params):
        p.grad = torch.full_like(p, k - 0.5 * n)


def steps(opt, params, count):
    for k in range(count):
        gradients(params, k + 1)
        opt.step()


@pytest.fixture
def leaves():
    """Parameters on the CPU, made before `meta` is the default."""
    return parameters(), parameters(), parameters()


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_copies_and_checkpoints(leaves, on_meta, name):
    assert torch.zeros(1).is_meta
    cls, options = getattr(ours, name), OPTIMIZERS[name]
    first, again, expected = leaves
    opt = cls(first, **options)
    steps(opt, first, 2)
    saved = copy.deepcopy(opt.state_dict())
    twin = cls(again, **options)
    with torch.no_grad():
        for p, q in zip(again, first, strict=True):
            p.copy_(q)
    twin.load_state_dict(saved)
    for made in (copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        copies = made.param_groups[0]["params"]
        steps(made, copies, 2)
        assert not any(x.is_meta for x in bits(made))
    steps(opt, first, 2)
    steps(twin, again, 2)
    same_bits(bits(twin), bits(opt))
    with torch.device("cpu"):
        reference = cls(expected, **options)
        steps(reference, expected, 2)
        steps(reference, expected, 2)
    same_bits(bits(opt), bits(reference))


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("SGD", "Momentum")])
def test_step_counts_that_were_saved_as_numbers(leaves, on_meta, name):
    """As by old versions of PyTorch."""
    params = leaves[0]
    opt = getattr(ours, name)(params, **OPTIMIZERS[name])
    steps(opt, params, 1)
    saved = opt.state_dict()
    for state in saved["state"].values():
        if "step" in state:
            state["step"] = 7
        if "mu_product" in state:
            state["mu_product"] = float(state["mu_product"])
    opt.load_state_dict(saved)
    steps(opt, params, 1)
    assert [int(opt.state[p].get("step", 8)) for p in params] == [8] * len(params)


def test_the_compiled_reader_is_found_whatever_the_default(on_meta):
    from gpuopt.torch import layout

    layout.reader.cache_clear()
    assert layout.reader() is not None
