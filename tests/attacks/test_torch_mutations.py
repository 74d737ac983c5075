"""Groups, state and storages changed at random between steps, beside torch.optim.

Whatever torch.optim allows has the same result; what gpuopt refuses raises, names the parameter and
changes nothing; and no memory is used that is gone (that would end the process).
"""

import copy
import random

import numpy as np
import pytest

from tests.optional import optional
from tests.torch_adapter.beside import SHARED, parameters, torch

ours = optional("gpuopt.torch")
SHAPES = ((3,), (4, 5), (), (2, 3, 2), (70,))


class Twins:
    """Parameters and an optimizer of each side, to which the same is done."""

    def __init__(self, name, choose):
        self.name, self.choose = name, choose
        self.params = [parameters(shapes=SHAPES, dtype=torch.float64) for _ in "ab"]
        self.opts = [
            getattr(side, name)(params, **SHARED[name])
            for side, params in zip((ours, torch.optim), self.params, strict=True)
        ]

    def gradients(self, all_of_them=False):
        """The same for both; some are None, and some lie in memory otherwise than parameters."""
        seed = self.choose.randrange(2**30)
        make = torch.Generator().manual_seed(seed)
        for n in range(len(self.params[0])):
            shape = self.params[0][n].shape
            values = torch.randn(shape, generator=make, dtype=torch.float64)
            none = self.choose.random() < 0.2 and not all_of_them
            kind = self.choose.randrange(4)
            for params in self.params:
                params[n].grad = None if none else laid(values, kind)

    def step(self):
        self.gradients()
        for opt in self.opts:
            opt.step()

    def agree(self):
        for p, q in zip(*self.params, strict=True):
            near(p, q, self.name == "NAdam")
            mine, theirs = (o.state.get(x, {}) for o, x in zip(self.opts, (p, q), strict=True))
            for key, value in theirs.items():
                if isinstance(value, torch.Tensor) and value.shape == mine[key].shape:
                    near(mine[key], value, self.name == "NAdam")

    def bits(self):
        params, opt = self.params[0], self.opts[0]
        found = [p.detach().clone() for p in params]
        return found + [x.clone() for p in params for x in opt.state.get(p, {}).values()]

    def both(self):
        return zip(self.opts, self.params, strict=True)

    def keys(self, n):
        """Of the buffers of parameter n."""
        state = self.opts[1].state.get(self.params[1][n], {})
        return [k for k, x in state.items() if isinstance(x, torch.Tensor) and k not in NUMBERS]


NUMBERS = ("step", "mu_product")


def laid(values, kind):
    if kind == 1 and values.ndim > 1:
        return values.transpose(0, 1).contiguous().transpose(0, 1)
    if kind == 2:
        return torch.stack([values, values + 1], -1)[..., 0]
    return values.clone()


def near(a, b, rounded):
    """Equal to float64's rounding, or to float32's, in which PyTorch keeps NAdam's product."""
    a, b = a.detach().double().numpy(), b.detach().double().numpy()
    np.testing.assert_allclose(a, b, rtol=1e-5 if rounded else 1e-7, atol=1e-6 if rounded else 1e-9)


def other_settings(t):
    group = t.choose.randrange(len(t.opts[0].param_groups))
    lr, decay = t.choose.random() / 10, t.choose.choice([0.0, 0.1])
    for opt, _ in t.both():
        opt.param_groups[group].update(lr=lr, weight_decay=decay)


def lr_as_a_tensor(t):
    lr = t.choose.random() / 10
    for opt, _ in t.both():
        opt.param_groups[0]["lr"] = torch.tensor(lr, dtype=torch.float64)


def groups_replaced(t):
    for opt, _ in t.both():
        opt.param_groups[:] = [dict(group) for group in opt.param_groups]


def groups_split(t):
    where = t.choose.randrange(len(SHAPES))
    for opt, params in t.both():
        rest = {k: v for k, v in opt.param_groups[0].items() if k != "params"}
        parts = (params[:where], params[where:])
        opt.param_groups[:] = [{"params": part, **rest} for part in parts]


def reversed_order(t):
    for opt, _ in t.both():
        for group in opt.param_groups:
            group["params"].reverse()


def data_moved(t):
    n, seed = t.choose.randrange(len(SHAPES)), t.choose.randrange(99)
    for _, params in t.both():
        make = torch.Generator().manual_seed(seed)
        params[n].data = torch.randn(SHAPES[n], generator=make, dtype=torch.float64)


def data_transposed(t):
    for _, params in t.both():
        params[1].data = params[1].data.t().contiguous().t()


def data_set(t):
    n = t.choose.randrange(len(SHAPES))
    for _, params in t.both():
        with torch.no_grad():
            params[n].set_(params[n].detach().clone())


def buffer_replaced(t):
    n = t.choose.randrange(len(SHAPES))
    for key in t.keys(n):
        for opt, params in t.both():
            opt.state[params[n]][key] = opt.state[params[n]][key].clone()


def buffer_moved(t):
    n = t.choose.randrange(len(SHAPES))
    for key in t.keys(n):
        for opt, params in t.both():
            opt.state[params[n]][key].data = opt.state[params[n]][key].data.clone()


def buffer_written(t):
    n = t.choose.randrange(len(SHAPES))
    for key in t.keys(n):
        for opt, params in t.both():
            opt.state[params[n]][key].mul_(0.5)


def count_written(t):
    n, count = t.choose.randrange(len(SHAPES)), t.choose.randrange(1, 50)
    for opt, params in t.both():
        state = opt.state.get(params[n], {})
        if "step" in state:
            state["step"].fill_(count)


def shared(t):
    for opt, _ in t.both():
        for state in opt.state.values():
            for value in state.values():
                if isinstance(value, torch.Tensor):
                    value.share_memory_()


def forgotten(t):
    if t.name == "Adagrad":  # torch.optim.Adagrad makes its state in its constructor only
        return
    n = t.choose.randrange(len(SHAPES))
    for opt, params in t.both():
        opt.state.pop(params[n], None)


def loaded(t):
    for opt, _ in t.both():
        opt.load_state_dict(copy.deepcopy(opt.state_dict()))


def exchanged(t):
    """Each goes on from the other's checkpoint."""
    saved = [copy.deepcopy(opt.state_dict()) for opt in t.opts]
    for opt, state in zip(t.opts, reversed(saved), strict=True):
        opt.load_state_dict(state)


def copied(t):
    params, opt = copy.deepcopy((t.params[0], t.opts[0]))
    t.params[0], t.opts[0] = params, opt


def more_parameters(t):
    if len(t.params[0]) > len(SHAPES) + 2:
        return
    for opt, params in t.both():
        new = torch.ones(2, 2, dtype=torch.float64, requires_grad=True)
        opt.add_param_group({"params": [new], "lr": 0.02})
        params.append(new)


def frozen_bytes(t):
    if any(group.get("bytes") for group in t.opts[0].param_groups):
        return
    for opt, _ in t.both():
        frozen = torch.zeros(3, dtype=torch.uint8)
        opt.add_param_group({"params": [frozen], "bytes": True})


def refused(t, spoil, match):
    """Gradients that gpuopt refuses: an error, and nothing has changed."""
    t.gradients(all_of_them=True)
    n = t.choose.randrange(len(SHAPES))
    spoil(t.params[0][n])
    before = t.bits()
    with pytest.raises((ValueError, RuntimeError), match=match):
        t.opts[0].step()
    for a, b in zip(before, t.bits(), strict=True):
        assert torch.equal(a, b)


def gradient_freed(t):
    refused(t, lambda p: p.grad.untyped_storage().resize_(0), "has no memory")


def gradient_cut(t):
    refused(t, lambda p: p.grad.untyped_storage().resize_(7), "has no memory")


def gradient_sparse(t):
    refused(t, lambda p: setattr(p, "grad", p.grad.to_sparse()), "is sparse")


def gradient_is_the_parameter(t):
    refused(t, lambda p: setattr(p, "grad", p.detach()), "share memory")


CHANGES = [
    other_settings,
    lr_as_a_tensor,
    groups_replaced,
    groups_split,
    reversed_order,
    data_moved,
    data_transposed,
    data_set,
    buffer_replaced,
    buffer_moved,
    buffer_written,
    count_written,
    shared,
    forgotten,
    loaded,
    exchanged,
    copied,
    more_parameters,
    frozen_bytes,
    gradient_freed,
    gradient_cut,
    gradient_sparse,
    gradient_is_the_parameter,
]


@pytest.mark.parametrize(
    ("name", "tries"),
    [
        ("Adam", 4),
        ("SGD", 4),
        *(pytest.param(name, 200, marks=pytest.mark.long) for name in SHARED),
    ],
)
def test_changes_between_steps(name, tries):
    """Sequences of 12 changes, one or two steps after each."""
    for number in range(tries):
        choose = random.Random(1000 * number + len(name))
        twins, done = Twins(name, choose), []
        twins.step()
        for _ in range(12):
            change = choose.choice(CHANGES)
            done.append(change.__name__)
            try:
                change(twins)
                for _ in range(choose.randint(1, 2)):
                    twins.step()
                twins.agree()
            except Exception as error:
                raise AssertionError(f"sequence {number}: {done}: {error}") from error
