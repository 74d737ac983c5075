"""Hooks and profilers see a step as torch's own wrapper shows it, and nobody sees it twice."""

import functools
import inspect

import pytest

from tests.optional import optional
from tests.torch_adapter.beside import ours, parameters, torch, train


@pytest.fixture
def seen():
    return []


def test_hooks_of_one_optimizer(seen):
    opt = ours.Adam(parameters(), lr=0.1)
    opt.register_step_pre_hook(lambda o, args, kwargs: seen.append((o is opt, "pre")))
    opt.register_step_post_hook(lambda o, args, kwargs: seen.append((o is opt, "post")))
    train(opt, 2)
    assert seen == [(True, "pre"), (True, "post")] * 2


def test_hooks_of_all_optimizers(seen):
    module = optional("torch.optim.optimizer")
    opt, other = ours.Adam(parameters(), lr=0.1), torch.optim.Adam(parameters(), lr=0.1)
    handles = [
        module.register_optimizer_step_pre_hook(lambda o, a, k: seen.append(("pre", type(o)))),
        module.register_optimizer_step_post_hook(lambda o, a, k: seen.append(("post", type(o)))),
    ]
    try:
        for one in (opt, other):
            train(one, 1)
    finally:
        for handle in handles:
            handle.remove()
    train(opt, 1)
    expected = [(when, type(one)) for one in (opt, other) for when in ("pre", "post")]
    assert seen == expected


def test_a_step_that_a_subclass_wraps(seen):
    class Told(ours.Adam):
        def step(self, closure=None):
            seen.append("step")
            return super().step(closure)

    opt = Told(parameters(), lr=0.1)
    opt.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre"))
    train(opt, 1)
    assert seen == ["pre", "step"]


def test_a_hook_that_gives_another_closure(seen):
    opt = ours.Adam(parameters(), lr=0.1)
    opt.register_step_pre_hook(lambda o, args, kwargs: ((o, lambda: 7.0), {}))
    assert opt.step(lambda: 5.0) == 7.0


def test_a_profiler_names_the_step():
    opt = ours.Adam(parameters(), lr=0.1)
    train(opt, 1)
    with torch.autograd.profiler.profile() as profile:
        opt.step()
    assert "Optimizer.step#Adam.step" in {event.name for event in profile.function_events}


def test_a_hook_sees_the_arguments_as_they_were_given(seen):
    opt = ours.SGD(parameters(), lr=0.1)
    opt.register_step_post_hook(lambda o, args, kwargs: seen.append((len(args), [*kwargs])))
    opt.register_step_pre_hook(lambda o, a, k: (a, {**k, "closure": lambda: 7.0}))
    assert opt.step() == 7.0
    assert opt.step(closure=lambda: 3.0) == 7.0
    assert seen == [(1, ["closure"])] * 2


def test_a_step_that_is_wrapped_with_all_its_attributes(seen, monkeypatch):
    """As libraries do that measure optimizers."""

    class Told(ours.Adam):
        @functools.wraps(ours.Adam.step)
        def step(self, closure=None):
            return super().step(closure)

    told, patched = Told(parameters(), lr=0.1), ours.SGD(parameters(), lr=0.1)
    old = ours.SGD.step
    monkeypatch.setattr(ours.SGD, "step", functools.wraps(old)(lambda o, *a: old(o, *a)))
    for opt in (told, patched):
        opt.register_step_pre_hook(lambda o, args, kwargs: seen.append(type(o)))
        train(opt, 1)
    assert seen == [Told, ours.SGD]


def test_the_signature_is_torchs():
    for method in (ours.Adam.step, ours.Adam(parameters()).step):
        names = list(inspect.signature(method).parameters)
        assert names[-1] == "closure"
    assert "with" in (ours.Adam.step.__doc__ or "")
