"""Interrupts at every place, and at random moments, of a step through gpuopt.torch: each step is
whole. Either nothing has changed, or parameters, state, counts and gradients all have.

A run of steps is known beforehand: the gradients of step k, and all bits after it. An interrupted
step is followed by whatever step is the next, by the count in PyTorch's state.
"""

import itertools
import random
import signal
from pathlib import Path

import pytest

from tests.attacks.interrupting import Interrupter
from tests.optional import optional
from tests.torch_adapter.beside import parameters, torch

ours = optional("gpuopt.torch")
FILES = str(Path(ours.__file__).parent)
SHAPES = ((37,), (5, 7), (40_000,), ())
SCALE = 1024.0


class Steps:
    """An optimizer whose k-th step is always the same."""

    def __init__(self, cls, scaled=False, **options):
        self.params = parameters(shapes=SHAPES)
        self.cls, self.scaled, self.options = cls, scaled, options
        self.begin()

    def begin(self):
        for p, q in zip(self.params, parameters(shapes=SHAPES), strict=True):
            p.data = q.detach().clone()
            p.grad = None
        self.opt = self.cls(self.params, **self.options)

    @property
    def count(self):
        """Steps taken, as the first parameter's state tells, which has a gradient at every step."""
        return int(self.opt.state.get(self.params[0], {}).get("step", 0))

    def gradient(self, k, n):
        """Of parameter n in step k; the last parameter has one only at every other step."""
        if n == 3 and k % 2:
            return None
        return torch.full(SHAPES[n], (k % 5 + 1) / 8 - n / 4)

    def step(self):
        self.give_gradients()
        self.opt.step()

    def give_gradients(self):
        k = self.count
        for n, p in enumerate(self.params):
            p.grad = self.gradient(k, n)
            if self.scaled and p.grad is not None:
                p.grad *= SCALE
        if self.scaled:
            self.opt.grad_scale, self.opt.found_inf = torch.tensor(SCALE), torch.zeros(())

    def bits(self):
        """Parameters and all state; those of a parameter without a step are not there."""
        found = {n: p.detach().clone() for n, p in enumerate(self.params)}
        for n, p in enumerate(self.params):
            entries = self.opt.state.get(p, {})
            found |= {(n, key): x.detach().clone() for key, x in entries.items()}
        return found

    def known(self, steps):
        """All bits after every number of steps."""
        self.begin()
        found = [self.bits()]
        for _ in range(steps):
            self.step()
            found.append(self.bits())
        return found

    def differing(self, known, before):
        """What is not as it must be after a step that was interrupted, or not; None if all is."""
        k, now = self.count, self.bits()
        if k not in (before, before + 1):
            return f"{before} steps became {k}"
        if now.keys() != known[k].keys():
            return f"after {k} steps there is {[*now]}"
        for key, value in now.items():
            if not torch.equal(value, known[k][key]):
                return f"{key} is not as after {k} steps"
        for n, p in enumerate(self.params):
            given = self.gradient(before, n)
            if given is not None and p.grad is not None:
                scale = SCALE if self.scaled and k == before else 1.0
                if not torch.equal(p.grad, given * scale):
                    return f"the gradient of {n} after step {k}"
        return "it is still at work" if self.opt._held.turn else None


def two_kinds(monkeypatch):
    """As parameters on the CPU and on a GPU: two plans in every step."""
    kinds = itertools.cycle(["one", "other"])
    known = {}

    def kind_of(p):
        if p not in known:
            known[p] = next(kinds)
        return known[p]

    monkeypatch.setattr("gpuopt.torch.binding.kind_of", kind_of)


def plain(monkeypatch):
    return Steps(ours.Adam, lr=0.1)


def two_plans(monkeypatch):
    two_kinds(monkeypatch)
    return Steps(ours.NAdam, lr=0.1)


def unscaling(monkeypatch):
    two_kinds(monkeypatch)
    return Steps(ours.Adam, lr=0.1, scaled=True, fused=True)


CASES = {"plain": plain, "two plans": two_plans, "loss scale": unscaling}


@pytest.mark.usefixtures("by_numpy")
@pytest.mark.parametrize("first", [0, 1, 4])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("every", [401, pytest.param(1, marks=pytest.mark.long)])
def test_an_interrupt_at_every_place_of_a_step(case, first, every, monkeypatch):
    """`first`: steps that were taken before. In the first, and where the gradients differ, plans
    are made; the second has a parameter more; the fifth has all of it. (One place of `every`.)"""
    steps = case(monkeypatch)
    known = steps.known(first + 3)
    begin = random.Random(7).randrange(every)
    wrong, tries = [], 0
    for at in itertools.count(begin, every):
        steps.begin()
        for _ in range(first):
            steps.step()
        interrupter = Interrupter(at, FILES)
        steps.give_gradients()
        if not interrupter.run(steps.opt.step):
            break
        tries += 1
        found = steps.differing(known, first)
        while found is None and steps.count < first + 3:  # and it goes on rightly
            before = steps.count
            steps.step()
            found = steps.differing(known, before)
        if found is not None:
            wrong.append((interrupter.where, found))
    assert tries > 300 // every
    assert wrong == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("tries", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_signals_at_random_moments(case, tries, monkeypatch):
    """Also while the machine code of a sweep runs. (KeyboardInterrupt in a finaliser is ignored by
    Python.)"""
    steps, choose = case(monkeypatch), random.Random(11)
    known = steps.known(40)
    wrong, interrupted, longest = [], 0, 1e-3  # seconds until the signal

    def ring(number, frame):
        raise KeyboardInterrupt

    before_us = signal.signal(signal.SIGALRM, ring)
    try:
        for _ in range(tries):
            if steps.count >= 38:
                steps.begin()
            taken = steps.count
            delay, came = 1e-6 + longest * choose.random(), False
            try:
                signal.setitimer(signal.ITIMER_REAL, delay)
                steps.opt.step()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                came = True
            signal.setitimer(signal.ITIMER_REAL, 0)
            interrupted += came
            longest *= 1.05 if came else 0.9  # so that about a third come too late
            found = steps.differing(known, taken)
            if found is not None:
                wrong.append(found)
                steps.begin()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before_us)
    assert interrupted > tries // 10
    assert wrong == []
