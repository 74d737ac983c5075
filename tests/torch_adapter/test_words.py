"""Whether lists, dicts and tensors are what they were: every way to change one is noticed."""

from collections import OrderedDict, UserDict, defaultdict

import numpy as np
import pytest

from gpuopt import rules
from tests.optional import optional
from tests.torch_adapter.beside import close, ours, parameters, torch, train

words = optional("gpuopt.torch.words")
ShownState = optional("gpuopt.torch.shown").ShownState
Words = words.Words


def test_it_works_here():
    """Else nothing stands, and every step looks closely."""
    assert words.reader() is not None


CHANGES_OF_LISTS = {
    "another object": lambda x: x.__setitem__(1, "new"),
    "one more": lambda x: x.append(3),
    "many more": lambda x: x.extend(range(1000)),
    "one less": lambda x: x.pop(),
    "another order": lambda x: x.reverse(),
    "none": lambda x: x.clear(),
    "one that was none": lambda x: x.insert(0, 1),
}


@pytest.mark.parametrize("change", CHANGES_OF_LISTS.values(), ids=CHANGES_OF_LISTS)
def test_lists(change):
    changed, other = ["a", "b", "c"], [1.5, None]
    seen = Words(lists=[other, changed, []])
    assert seen.stand()
    change(changed)
    assert not seen.stand()
    assert Words(lists=[other, changed]).stand()


CHANGES_OF_DICTS = {
    "another value": lambda x: x.update(a="new"),
    "one more": lambda x: x.__setitem__("z", 1),
    "one less": lambda x: x.pop("b"),
    "none": lambda x: x.clear(),
    "one and back": lambda x: x.update(a=x.pop("a")),
}


KINDS = {
    "dict": dict,
    "default": lambda x: defaultdict(dict, x),
    "state": lambda x: ShownState(Nothing().settle, x),
}


class Nothing:
    def settle(self):
        pass


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("change", CHANGES_OF_DICTS.values(), ids=CHANGES_OF_DICTS)
def test_dicts(change, kind):
    changed, other = kind({"a": 1.5, "b": [2]}), {}
    seen = Words(dicts=[other, changed])
    assert seen.stand()
    changed["b"].append(3)  # the same object
    assert seen.stand()
    change(changed)
    assert not seen.stand()
    seen.note_dicts()
    assert seen.stand()


CHANGES_OF_TENSORS = {
    "other memory": lambda t: setattr(t, "data", torch.zeros(4, 6)),
    "a part of its own": lambda t: setattr(t, "data", t.data[1:]),
    "further on": lambda t: t.as_strided_((4, 6), (6, 1), 24),
    "another shape": lambda t: t.resize_(2, 12),
    "another order": lambda t: t.t_(),
    "one axis more": lambda t: t.unsqueeze_(0),
    "many axes": lambda t: t.resize_(1, 1, 1, 2, 2, 6),
    "another dtype": lambda t: setattr(t, "data", t.data.double()),
    "larger storage": lambda t: t.resize_(400, 60),
    "a new storage": lambda t: t.set_(torch.zeros(4, 6)),
    "shared": lambda t: t.share_memory_(),
}


@pytest.mark.parametrize("change", CHANGES_OF_TENSORS.values(), ids=CHANGES_OF_TENSORS)
def test_tensors(change):
    changed, other = torch.zeros(8, 6)[:4], torch.zeros(())
    seen = Words(tensors=[other, changed])
    assert seen.stand()
    changed += 1
    assert seen.stand(), "values are not looked at"
    change(changed)
    assert not seen.stand()


class Computed(dict):
    """Whose items are not what they say."""


@pytest.mark.parametrize("kind", [Computed, UserDict, OrderedDict])
def test_dicts_of_other_kinds_do_not_stand(kind):
    assert not Words(dicts=[{}, kind()]).stand()


@pytest.mark.parametrize(
    "other",
    [(1, 2), torch.eye(3).to_sparse(), torch.zeros(1, 1, 1, 1, 1, 1), None],
    ids=["tuple", "sparse", "six axes", "no tensor"],
)
def test_what_cannot_be_read_does_not_stand(other):
    given = {"lists": [[1], other]} if isinstance(other, tuple) else {"tensors": [other]}
    assert not Words(**given).stand()


def test_nothing_stands():
    assert Words().stand()


def test_what_was_seen_is_kept_alive():
    """Else its memory would be read when something else lies there."""
    seen = Words([[object()]], [{1: 2}], [torch.zeros(5)])
    filled = [[[k], {k: k}, torch.full((5,), k), np.full(5, k)] for k in range(1000)]
    assert seen.stand()
    assert len(filled) == 1000


def test_a_steady_step_looks_at_words_only(monkeypatch):
    """The rest is Python, which takes ten times as long."""
    opt = ours.Adam(parameters())
    train(opt, 2)
    binding = opt._binding
    looked = []
    for name in ("groups_hold", "tensors_hold"):
        real = getattr(binding, name)
        monkeypatch.setattr(
            binding, name, lambda name=name, real=real: looked.append(name) or real()
        )
    train(opt, 2)
    assert looked == []
    opt.param_groups[0]["lr"] = 0.5
    train(opt, 2)
    assert looked == ["groups_hold"]
    opt.param_groups[0]["lr"] = torch.tensor(0.25)  # it may change where nobody sees it
    train(opt, 2)
    assert looked == ["groups_hold"] * 3
    opt.param_groups[0]["lr"] = 0.5
    opt.state[opt.param_groups[0]["params"][0]]["note"] = "mine"
    train(opt, 2)
    assert looked == ["groups_hold"] * 4 + ["tensors_hold"]
    assert opt._binding is binding


class Halved(dict):
    """A group that works its learning rate out."""

    rate = 1.0

    def get(self, name, default=None):
        return self.rate / 2 if name == "lr" else super().get(name, default)

    def __getitem__(self, name):
        return self.rate / 2 if name == "lr" else super().__getitem__(name)


def test_groups_that_are_no_plain_dicts():
    p = torch.nn.Parameter(torch.zeros(2))
    opt = ours.SGD([p], lr=1.0)
    opt.param_groups[0] = Halved(opt.param_groups[0])
    for rate, expected in ((1.0, -0.5), (1.0, -1.0), (1.0, -1.5), (4.0, -3.5)):
        opt.param_groups[0].rate = rate
        p.grad = torch.ones(2)
        opt.step()
        assert p[0] == expected


def test_a_rule_that_depends_on_more_than_its_group():
    class Either(ours.Adam):
        decoupled = False

        def rule_of(self, group):
            return rules.AdamW if self.decoupled else rules.Adam

    mine, theirs = parameters(), parameters()
    settings = {"lr": 0.5, "weight_decay": 0.5}
    opt, twin = Either(mine, **settings), torch.optim.Adam(theirs, **settings)
    for decoupled in (False, False, False, True, True):
        opt.decoupled = twin.param_groups[0]["decoupled_weight_decay"] = decoupled
        train(opt, 1)
        train(twin, 1)
        close(mine, theirs)


def test_lists_of_parameters_that_change():
    """In groups that are the same: replaced by an equal list, reordered, and shared out anew."""
    params = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    opt = ours.SGD([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}], lr=1.0)
    first, second = opt.param_groups

    def step():
        for p in params:
            p.data.fill_(1)
            p.grad = torch.ones(2)
        opt.step()
        return [p[0].item() for p in params]

    step()
    step()
    binding = opt._binding
    first["params"] = list(first["params"])
    assert step() == [0, 0, 0.5]
    assert opt._binding is binding
    second["params"].append(first["params"].pop())
    assert step() == [0, 0.5, 0.5]
    first["params"], second["params"] = [], params[::-1]
    assert step() == [0.5, 0.5, 0.5]


def test_a_learning_rate_that_another_thread_writes_meanwhile():
    """While a step reads the groups: the next step sees it."""
    p = torch.nn.Parameter(torch.zeros(2))
    opt = ours.SGD([p], lr=1.0)
    for _ in range(2):
        p.grad = torch.ones(2)
        opt.step()
    (settings,) = opt._binding.settings
    follow = settings.follow

    def follow_and_write(rule):
        followed = follow(rule)
        if group["lr"] == 2:
            group["lr"] = 10.0
        return followed

    settings.follow = follow_and_write
    group = opt.param_groups[0]
    group["lr"] = 2
    opt.step()
    opt.step()
    assert p[0] == -14


@pytest.mark.parametrize(
    "value",
    [torch.eye(3).to_sparse(), torch.zeros(1, 1, 1, 1, 1, 2), {"deep": 1}, None],
    ids=["sparse", "six axes", "dict", "none"],
)
def test_whatever_a_user_keeps_in_the_state(value):
    """A sparse tensor, which has no memory, ended the process."""
    opt = ours.Adam(parameters())
    train(opt, 2)
    opt.state[opt.param_groups[0]["params"][0]]["mine"] = value
    train(opt, 1)
    binding = opt._binding
    train(opt, 3)
    assert opt._binding is binding
