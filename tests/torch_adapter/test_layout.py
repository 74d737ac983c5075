"""Watching where tensors lie: compiled code and Python give the same answers."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.optional import optional
from tests.torch_adapter.beside import close, ours, parameters, torch, train

layout = optional("gpuopt.torch.layout")
Watch = layout.Watch
WHOLE = torch.zeros(400)
FIRST = WHOLE[:24].view(4, 6)


class Other(torch.Tensor):
    """A subclass, which may mean something else by its memory."""


OTHERS = {
    "shape": WHOLE[:24].view(6, 4),
    "axes": WHOLE[:24],
    "one axis more": WHOLE[:24].view(1, 4, 6),
    "no axes": WHOLE[0],
    "strides": WHOLE[:48].view(4, 12)[:, ::2],
    "order": WHOLE[:24].view(6, 4).t(),
    "dtype": torch.zeros(4, 6, dtype=torch.float64),
    "dtype of the same size": torch.zeros(4, 6, dtype=torch.int32),
    "narrow": torch.zeros(4, 6, dtype=torch.bfloat16),
    "class": FIRST.as_subclass(Other),
    "parameter": torch.nn.Parameter(FIRST),
    "negated": torch._neg_view(FIRST),
    "many axes": WHOLE[:24].view(1, 1, 1, 1, 4, 6),
    "none": None,
    "number": 3,
    "array": np.zeros((4, 6), np.float32),
}


@pytest.fixture(params=["compiled", "python"])
def watch(request):
    def make(*tensors):
        made = Watch(tensors)
        assert (made.reader is not None) == all(map(layout.is_readable, tensors))
        if request.param == "python":
            made.reader = None
        return made

    return make


def test_the_reader_works_here():
    """Else the tests below would try Python twice."""
    assert layout.offsets() is not None
    assert layout.reader() is not None


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_what_lies_otherwise(watch, other):
    seen = watch(WHOLE, FIRST)
    assert seen.follow((WHOLE, other)) is None
    assert seen.follow((WHOLE, FIRST)) is not None
    if isinstance(other, torch.Tensor):
        back = watch(WHOLE, other)
        assert back.follow((WHOLE, FIRST)) is None
        assert list(back.follow((WHOLE, other))) == [WHOLE.data_ptr(), other.data_ptr()]


def test_conjugated(watch):
    z = torch.zeros(3, 5, dtype=torch.complex64)
    assert watch(z).follow((z.conj(),)) is None
    assert watch(z.conj()).follow((z,)) is None
    assert list(watch(z.conj()).follow((z.conj(),))) == [z.data_ptr()]


def test_another_length(watch):
    seen = watch(WHOLE, FIRST)
    assert seen.follow((WHOLE,)) is None
    assert seen.follow((WHOLE, FIRST, FIRST)) is None
    assert watch().follow(()).size == 0
    assert watch().follow((WHOLE,)) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex128])
def test_addresses(watch, dtype):
    """Of what lies alike somewhere else, at an offset into its storage or not."""
    whole = torch.zeros(90, dtype=dtype)
    views = [whole[k : k + 24].view(4, 6) for k in (0, 1, 7, 66)] + [torch.zeros(4, 6, dtype=dtype)]
    seen = watch(views[0], whole[3])
    for view in views:
        assert list(seen.follow((view, whole[5]))) == [view.data_ptr(), whole[5].data_ptr()]
    assert seen.stay((views[0], whole[3]))
    assert not seen.stay((views[1], whole[3]))


def test_a_tensor_changed_in_place(watch):
    t = torch.zeros(4, 6)
    seen = watch(t)
    t.data = torch.zeros(4, 6)
    assert list(seen.follow((t,))) == [t.data_ptr()]
    t.resize_(6, 4)
    assert seen.follow((t,)) is None
    t.resize_(4, 6)
    t.t_()
    assert seen.follow((t,)) is None


def test_more_than_five_axes_and_things_that_are_no_tensors():
    t, deep = torch.zeros(3), torch.zeros(1, 2, 1, 2, 1, 2)
    seen = Watch((t, deep, None, "text"))
    assert list(seen.follow((t, deep, None, "other"))) == [t.data_ptr(), deep.data_ptr(), 0, 0]
    assert seen.follow((t, deep.transpose(1, 2), None, "text")) is None
    assert seen.follow((t, deep, t, "text")) is None
    assert seen.follow((None, deep, None, "text")) is None
    assert seen.follow((t, deep, None, 3)) is None


@pytest.fixture
def unknown(monkeypatch):
    """A build of PyTorch whose objects are unknown."""
    monkeypatch.setattr(layout, "offsets", lambda: None)
    layout.reader.cache_clear()
    yield
    layout.reader.cache_clear()


@pytest.mark.usefixtures("by_numpy")
def test_without_compiled_code(unknown):
    assert Watch((WHOLE,)).reader is None
    params, others = parameters(), parameters()
    opt = ours.Adam(params)
    train(opt, 2)
    binding = opt._binding
    train(opt, 2)
    assert opt._binding is binding
    params[0].data = params[0].data.clone()
    train(opt, 2)
    assert opt._binding is not binding
    twin = torch.optim.Adam(others)
    for _ in range(3):
        train(twin, 2)
    close(params, others)


def test_a_reader_that_reads_wrongly_is_not_used():
    class Wrong:
        WORDS = layout.reader().WORDS
        look = staticmethod(layout.reader().look)

        @staticmethod
        def follow(tensors, types, looks, sizes, extents, addresses):
            addresses[:] = 0
            return True

    assert layout.reads_rightly(layout.reader())
    assert not layout.reads_rightly(Wrong)


NOTHING_COMPILED = """
import torch
import gpuopt.torch
p = torch.nn.Parameter(torch.ones(3))
opt = gpuopt.torch.SGD([p], lr=0.25)
for _ in range(3):
    p.grad = torch.ones(3)
    opt.step()
print(p.tolist())
"""


def test_with_numba_that_is_to_compile_nothing():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(
        [sys.executable, "-c", NOTHING_COMPILED], capture_output=True, text=True, env=environment
    )
    assert run.stdout == "[0.25, 0.25, 0.25]\n", run.stderr
    assert "NUMBA_DISABLE_JIT is set" in run.stderr
