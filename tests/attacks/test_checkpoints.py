"""Checkpoints under attack: damaged files, files that change while they are read, interrupts.

A load that raises is a ValueError of one line that names the file, and changes nothing.
"""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest

import gpuopt
from tests.checkpoints import NUMPY, everything, make, parts, put, run, write
from tests.optional import optional

optional("safetensors.numpy")

FEW, MANY = 60, 2000
tries_of_each = pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.long)])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def generators():
    return {"data": np.random.Generator(np.random.SFC64(1))}


def loaded(opt, path, rngs):
    """Whether the file was loaded; else the error is checked."""
    try:
        opt.load(path, rngs=rngs)
        text = ""
    except ValueError as error:
        text = str(error)
        assert text
    assert not text or text.startswith(f"{path}: ")
    assert len(text) < 500
    assert text.isprintable()
    return not text


class Target:
    """An optimizer to load into, which is made anew after it was changed."""

    def __init__(self, build):
        self.build = build
        self.renew()

    def renew(self):
        (self.opt, self.p), self.rngs = self.build(), generators()
        self.opt.lr = 1.0
        self.before = self.now()

    def now(self):
        return everything(self.opt, self.p, NUMPY, self.rngs)

    def load(self, path):
        """The state after a load; None if it raised, and changed nothing."""
        if not loaded(self.opt, path, self.rngs):
            assert self.now() == self.before
            return None
        found = self.now()
        self.renew()
        return found


def small():
    p = {"w": np.array([1, 2], np.float32)}
    opt = gpuopt.Momentum(p, lr=0.0625, backend="numpy")
    opt.step({"w": np.array([3, -4], np.float32)})
    return opt, p


def of_each_kind():
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 4)
    return opt, p


@pytest.mark.long
def test_each_bit_of_a_file_is_noticed_or_changes_nothing_that_is_loaded(path):
    flipped_bits(path, small)


@tries_of_each
def test_flipped_bits_of_a_file_with_every_kind_of_tensor(tries, path):
    flipped_bits(path, of_each_kind, tries)


def flipped_bits(path, build, tries=None):
    """Flip single bits of a file: random ones, or all of them."""
    opt, p = build()
    rngs = generators()
    opt.save(path, params=True, rngs=rngs, extra=[1])
    whole, saved = path.read_bytes(), everything(opt, p, NUMPY, rngs)
    target = Target(build)
    bits = range(8 * len(whole))
    for bit in bits if tries is None else random.Random(1).sample(bits, tries):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert target.load(path) in (None, saved), f"bit {bit} changed what was loaded"


@tries_of_each
def test_a_file_that_is_cut_off_or_overwritten_in_part(tries, path):
    opt, p = of_each_kind()
    rngs = generators()
    opt.save(path, params=True, rngs=rngs)
    whole, saved = path.read_bytes(), everything(opt, p, NUMPY, rngs)
    target = Target(of_each_kind)
    for k in range(tries):
        chance = random.Random(k)
        start = chance.randrange(len(whole))
        rest = whole[start:]
        if k % 3 == 0:
            rest = b""
        elif k % 3 == 1:
            rest = chance.randbytes(len(rest))
        else:
            rest = chance.randbytes(chance.randrange(1, 99)) + rest
        path.write_bytes(whole[:start] + rest)
        assert target.load(path) in (None, saved)


WORDS = [None, True, -1, 0, 1, 2**63, 2**70, 0.5, float("nan"), float("inf"), "", "x" * 600, "\n",
         "schedule", "common", "F8_E4M3", "F32", "I32", [], {}, [1], [[]], {"a": 1}]  # fmt: skip


def edited(value, chance):
    """The value with one change somewhere in it."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        value = value.copy()
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        what = chance.random()
        if what < 0.1:
            del value[key]
        elif what < 0.2 and isinstance(value, dict):
            value[chance.choice(["x" * 10_000, "", "w/p", *value])] = value.pop(key)
        else:
            value[key] = edited(value[key], chance)
        return value
    if isinstance(value, int) and chance.random() < 0.3:
        return value + chance.choice([-1, 1, 8])
    return chance.choice(WORDS)


@tries_of_each
def test_random_edits_of_a_header_without_a_checksum(tries, path):
    """As of a file of an older version: what can be loaded may be, all else changes nothing."""
    opt, _ = of_each_kind()
    opt.save(path, params=True, rngs=generators())
    header, about, data = parts(path)
    older = {**header, "__metadata__": {"gpuopt": json.dumps(about)}}
    target, raised = Target(of_each_kind), 0
    for k in range(tries):
        chance = random.Random(k)
        if k % 2:
            put(path, edited(older, chance), data)
        else:
            write(path, header, edited(about, chance), data)
        raised += target.load(path) is None
    assert raised > tries / 2


# A process overwrites a file in place, with one state and another, while it is loaded.
OVERWRITTEN = """
import os, sys
import numpy as np
import gpuopt

path, loads = sys.argv[1], int(sys.argv[2])

def make(steps):
    p = np.zeros(200_000, "f4")
    opt = gpuopt.Adam(p, lr=1.0, backend="numpy")
    for _ in range(steps):
        opt.step(np.ones(p.size, "f4"))
    return p, opt

def contents(p, opt):
    return opt.step_count, p.tobytes(), *(a.tobytes() for a in opt.state["0"].values())

states, files = [make(1), make(2)], []
for p, opt in states:
    opt.save(path, params=True)
    with open(path, "rb") as file:
        files.append(file.read())
whole = [contents(*x) for x in states]
parent, child = os.getpid(), os.fork()
if not child:
    k = 0
    while os.getppid() == parent:
        k += 1
        with open(path, "r+b" if k % 5 else "wb") as file:
            file.write(files[k % 2])
    os._exit(0)
p, opt = make(0)
good = bad = 0
while good + bad < loads:
    before = contents(p, opt)
    try:
        opt.load(path)
        good += 1
        assert contents(p, opt) in whole
    except ValueError:
        bad += 1
        assert contents(p, opt) == before
os.kill(child, 9)
os.waitpid(child, 0)
print(good, bad)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are POSIX's")
@tries_of_each
def test_a_file_that_is_overwritten_in_place_while_it_is_loaded(tries, path):
    command = [sys.executable, "-c", OVERWRITTEN, str(path), str(tries)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout.split()[1]) > 0, "no load came while the file was written"


class Interrupts:
    """Raise KeyboardInterrupt at one line of gpuopt, or of contextlib, counted from the start."""

    def __init__(self, at):
        self.left = at

    def trace(self, frame, event, arg):
        if (
            "gpuopt" not in frame.f_code.co_filename
            and "contextlib" not in frame.f_code.co_filename
        ):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise KeyboardInterrupt
        return self.trace

    def during(self, call):
        """Whether the call was interrupted; afterwards `left` says how many lines it lacks."""
        before = sys.gettrace()
        sys.settrace(self.trace)
        try:
            call()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
        return False


def lines_of(call):
    counting = Interrupts(10**9)
    assert not counting.during(call)
    return 10**9 - counting.left


def moments(count, tries):
    """Numbers of lines at which to interrupt: all, if there are no more than tries."""
    every = range(1, count + 1)
    return every if tries >= count else sorted(random.Random(tries).sample(every, tries))


# An interrupt just before `with open` closes the file leaves that to the garbage collector, which
# warns; that is so of every `with`.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@tries_of_each
def test_an_interrupted_load_is_whole_or_has_not_begun(tries, path):
    opt, p = of_each_kind()
    rngs = generators()
    rngs["data"].random(5)
    opt.save(path, params=True, rngs=rngs)
    saved, found = everything(opt, p, NUMPY, rngs), {True: 0, False: 0}

    def build():
        opt, p = make(NUMPY)
        run(opt, p, NUMPY, 0, 1)
        return opt, p

    target = Target(build)
    count = lines_of(lambda: target.opt.load(path, rngs=target.rngs))
    target.renew()
    for at in moments(count, tries):
        opt, rngs = target.opt, target.rngs
        Interrupts(at).during(lambda opt=opt, rngs=rngs: opt.load(path, rngs=rngs))
        now = target.now()
        assert now in (saved, target.before), f"half a load, when interrupted at line {at}"
        found[now == saved] += 1
        if now == saved:
            target.renew()
    assert min(found.values()) > 0


@tries_of_each
def test_an_interrupted_save_leaves_the_old_file_or_the_new_one(tries, path):
    opt, _ = small()
    opt.save(path)
    old = path.read_bytes()
    opt.save(path, extra="new")
    new, found = path.read_bytes(), {True: 0, False: 0}
    count = lines_of(lambda: opt.save(path, extra="new"))
    for at in moments(count, tries):
        path.write_bytes(old)
        Interrupts(at).during(lambda: opt.save(path, extra="new"))
        now = parsed(path)
        assert now in (parsed_bytes(old), parsed_bytes(new)), f"interrupted at line {at}"
        assert os.listdir(path.parent) == [path.name], f"interrupted at line {at}"
        found[now == parsed_bytes(new)] += 1
    assert min(found.values()) > 0


def parsed(path):
    return parsed_bytes(path.read_bytes())


def parsed_bytes(raw):
    """A file's header and data: the header's keys have no order."""
    size = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8 : 8 + size]), raw[8 + size :]
