"""What libraries around PyTorch do with an optimizer: wrap it, copy its class, compile it."""

import importlib
import subprocess
import sys

import pytest

from tests.torch_adapter.beside import SHARED, ours, parameters, same_bits, torch, train


class Wrapper:
    """As Lightning's and Fabric's: an instance whose class it makes a subclass of the optimizer's,
    and which forwards only attributes that it does not find in that class."""

    def __init__(self, optimizer):
        self._optimizer = optimizer
        self.__class__ = type("Wrapped", (Wrapper, type(optimizer)), {})

    def step(self, closure=None):
        return self._optimizer.step(closure)

    def state_dict(self):
        return self._optimizer.state_dict()

    def __getattr__(self, name):
        return getattr(self._optimizer, name)


class Copied:
    """As earlier versions of them: a copy of the attributes, too."""

    def __init__(self, optimizer):
        self.__dict__.update(vars(optimizer))
        self._optimizer = optimizer
        self.__class__ = type("Copied", (Copied, type(optimizer)), {})

    def step(self, closure=None):
        return self._optimizer.step(closure)


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("wrap", [Wrapper, Copied])
@pytest.mark.parametrize("name", SHARED)
def test_a_wrapper_shows_what_the_optimizer_shows(wrap, name):
    params = parameters()
    opt = getattr(ours, name)(params, **SHARED[name], max_norm=0.5)
    wrapper = wrap(opt)
    assert isinstance(wrapper, getattr(torch.optim, name))
    for _ in range(2):
        for k, p in enumerate(params):
            p.grad = torch.full_like(p, k + 1.0)
        wrapper.step()
    assert len(wrapper.state) == len(params)
    for p in params:
        assert wrapper.state[p] is opt.state[p]
        assert all(wrapper.state[p][key] is value for key, value in opt.state[p].items())
    assert wrapper.grad_norm == opt.grad_norm > 0
    assert wrapper.max_norm == 0.5
    assert wrapper.param_groups is opt.param_groups
    wrapper.zero_grad()
    assert all(p.grad is None for p in params)
    assert set(wrapper.state_dict()["state"]) == set(range(len(params)))


def test_state_is_an_attribute_of_the_instance_as_in_torch():
    opt = ours.Adam(parameters())
    assert vars(opt)["state"] is opt.state
    assert not hasattr(ours.Adam, "state")
    assert not hasattr(ours.Adam, "_step_supports_amp_scaling")
    assert set(vars(torch.optim.Adam(parameters()))) <= set(vars(opt))


@pytest.mark.usefixtures("by_numpy")
def test_an_optimizer_made_inside_torch_compile():
    @torch.compile(backend="eager")
    def make(p):
        return ours.AdamW([p], lr=0.1, max_norm=0.5, fused=True)

    params, twins = parameters()[:1], parameters()[:1]
    opt, twin = make(params[0]), ours.AdamW(twins, lr=0.1, max_norm=0.5, fused=True)
    assert set(vars(opt)) == set(vars(twin))
    assert opt.max_norm == 0.5
    train(opt, 3)
    train(twin, 3)
    same_bits(params, twins)
    assert opt.grad_norm == twin.grad_norm


@pytest.mark.usefixtures("by_numpy")
def test_a_subclass_that_calls_torchs_constructor_only():
    class Own(ours.Adam):
        def __init__(self, params):
            torch.optim.Adam.__init__(self, params, lr=0.1)

    params, twins = parameters(), parameters()
    opt, twin = Own(params), ours.Adam(twins, lr=0.1)
    train(opt, 2)
    train(twin, 2)
    same_bits(params, twins)
    assert opt.max_norm is None
    assert float(opt.state[params[0]]["step"]) == 2


def test_everything_else_is_torch_optims():
    for name in torch.optim.__all__:
        assert hasattr(ours, name), name
        assert name in dir(ours)
    for name in ("lr_scheduler", "swa_utils", "Optimizer", "LBFGS", "Muon", "SparseAdam"):
        assert getattr(ours, name) is getattr(torch.optim, name)
    assert ours.Adam is not torch.optim.Adam
    with pytest.raises(AttributeError, match=r"'gpuopt\.torch' has no attribute 'Adamm'"):
        _ = ours.Adamm


def test_submodules_are_found_by_import():
    assert importlib.import_module("gpuopt.torch.lr_scheduler") is torch.optim.lr_scheduler
    script = (
        "import gpuopt.torch.lr_scheduler as s\n"
        "from gpuopt.torch.swa_utils import AveragedModel\n"
        "from gpuopt.torch import lr_scheduler, Optimizer, AdamW\n"
        "import torch\n"
        "print(s is torch.optim.lr_scheduler, issubclass(AdamW, Optimizer))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.stdout == "True True\n", run.stderr
