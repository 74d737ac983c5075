"""What people do with optimizers besides stepping them."""

import gc
import inspect
import weakref

import pytest

from tests.optional import optional

torch = optional("torch")
ours = optional("gpuopt.torch")


def one(value=1.0, size=5, **options):
    """A parameter of ones that has a gradient, and Adam on it."""
    p = torch.nn.Parameter(torch.full((size,), value))
    p.grad = torch.ones(size)
    return p, ours.Adam([p], **options)


def test_subclasses_show_their_own_arguments():
    class Warm(ours.Adam):
        def __init__(self, params, warm=5, **others):
            super().__init__(params, **others)
            self.warm = warm

    class Warmer(Warm):
        pass

    assert list(inspect.signature(Warmer).parameters) == ["params", "warm", "others"]
    p, _ = one()
    opt = Warmer([p], warm=7, max_norm=1.0)
    opt.step()
    assert (opt.warm, opt.max_norm) == (7, 1.0)
    shown = inspect.signature(ours.SGD).parameters
    assert [*inspect.signature(torch.optim.SGD).parameters, "max_norm"] == list(shown)


def test_a_mixin_of_the_user_is_told_of_subclasses():
    seen = []

    class Mixin:
        def __init_subclass__(cls, **kwargs):
            seen.append(cls.__name__)

    class Mixed(ours.Adam, Mixin):
        pass

    assert seen == ["Mixed"]


def test_a_param_group_that_was_replaced():
    p, opt = one(lr=0.1)
    opt.step()
    opt.param_groups[0] = dict(opt.param_groups[0])
    opt.param_groups[0]["lr"] = 0.0
    before = p.detach().clone()
    opt.step()
    assert torch.equal(p, before)


@pytest.mark.parametrize("unscale", [False, True])
def test_gradients_are_without_the_loss_scale_after_a_step(unscale):
    """So that the next backward pass, which adds to them, adds to the right ones."""
    pairs = [one(size=4) for _ in range(2)]
    opts = [pairs[0][1], torch.optim.Adam([pairs[1][0]], fused=True)]
    for p, _ in pairs:
        p.grad = None
    scalers = [torch.amp.GradScaler("cpu", init_scale=1024.0) for _ in opts]
    for _ in range(4):
        for (p, _), opt, scaler in zip(pairs, opts, scalers, strict=True):
            scaler.scale((p * p).sum()).backward()
            if unscale:
                scaler.unscale_(opt)
            scaler.step(opt)
            scaler.update()
        torch.testing.assert_close(pairs[0][0].grad, pairs[1][0].grad)
    torch.testing.assert_close(pairs[0][0], pairs[1][0])


def test_a_schedule_that_ends_a_little_below_zero():
    p, opt = one(lr=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(opt, 0.3, end_factor=0.0, total_iters=3)
    for _ in range(5):
        opt.step()
        schedule.step()
    assert opt.param_groups[0]["lr"] < 0
    assert torch.isfinite(p).all()


def test_betas_in_a_list_that_is_changed_in_place():
    p, _ = one()
    q, peer = p.detach().clone().requires_grad_(), None
    groups = [[{"params": [x], "betas": [0.9, 0.999]}] for x in (p, q)]
    opt, peer = ours.Adam(groups[0], lr=0.1), torch.optim.Adam(groups[1], lr=0.1)
    for t in range(4):
        p.grad = torch.full((5,), 1.0 + t)
        q.grad = p.grad.clone()
        if t == 2:
            opt.param_groups[0]["betas"][0] = peer.param_groups[0]["betas"][0] = 0.5
        opt.step()
        peer.step()
    torch.testing.assert_close(p, q)


def test_an_entry_in_the_state_that_is_no_parameters():
    p, opt = one()
    opt.step()
    opt.state["global"] = 5
    for _ in range(2):
        opt.step()
    assert opt.state["global"] == 5
    assert float(opt.state[p]["step"]) == 3


def test_step_counts_that_are_moved_to_shared_memory():
    _, opt = one()
    opt.step()
    for state in opt.state.values():
        state["step"].share_memory_()
    opt.step()
    assert [float(state["step"]) for state in opt.state.values()] == [2.0]


def test_tensors_go_when_the_optimizer_goes():
    p, opt = one()
    opt.step()
    p.data = p.data.clone()
    opt.step()
    there = weakref.ref(p), weakref.ref(opt)
    gc.disable()
    try:
        del p, opt
        assert [ref() for ref in there] == [None, None]
    finally:
        gc.enable()


def test_another_default_dtype_leaves_the_compiled_reader():
    from gpuopt.torch import layout

    before = torch.get_default_dtype()
    layout.reader.cache_clear()
    torch.set_default_dtype(torch.float64)
    try:
        assert (layout.reader() is None) == (layout.offsets() is None)
    finally:
        torch.set_default_dtype(before)
        layout.reader.cache_clear()
