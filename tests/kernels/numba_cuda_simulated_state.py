"""State and copies of the Numba CUDA backend in Numba's simulator: run by test_numba_cuda.py."""

from typing import Any

import numpy as np
import pytest
from numba import cuda

from gpuopt import backends, rules
from gpuopt.backends import numba_cuda_upload, turns
from tests.kernels.numba_cuda_pair import SILENT, Pair, made, on_gpu
from tests.optional import optional

pytestmark = SILENT


def test_a_state_that_is_loaded_goes_on_bit_for_bit(tmp_path):
    optional("safetensors")
    one, other, third = (Pair(rules.Adam(amsgrad=True), average=0.5) for _ in range(3))
    one.step(1)
    saved = one.opt.state_dict()
    one.opt.save(tmp_path / "state.safetensors")
    other.opt.load_state_dict(saved)
    third.opt.load(tmp_path / "state.safetensors")
    for pair in (other, third):
        for a, b in zip(pair.device, one.device, strict=True):
            a[...] = b
    for pair in (one, other, third):
        pair.step(2)
    for pair in (other, third):
        for k, state in one.opt.state.items():
            for name, a in state.items():
                assert pair.opt.state[k][name].strides == a.strides
                assert (
                    pair.opt.state[k][name].copy_to_host().tobytes() == a.copy_to_host().tobytes()
                )
    assert all((a == b).all() for a, b in zip(one.device, other.device, strict=True))
    assert (saved["state"]["0"]["m"].copy_to_host() != one.opt.state["0"]["m"].copy_to_host()).any()


def test_state_lies_in_the_order_of_its_parameter():
    pair = Pair(rules.Momentum())
    pair.step(1)
    strides = [pair.opt.state[str(k)]["v"].strides for k in range(5)]
    assert strides == [(4,), (4,), (4, 20), (12, 4), (24, 8, 4)]


def test_averages_are_swapped_in_where_parameters_lie():
    pair = Pair(rules.SGD(), average=0.5)
    whole = pair.device[3].base
    whole[:, 1::2] = 7
    for seed in (1, 2):
        pair.step(seed)
    pair.check()
    copies = pair.opt.averaged_params()
    before = [a.copy() for a in pair.device]
    with pair.opt.averages(), pair.expected.averages():
        for a, b, c in zip(pair.device, pair.host, copies, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
            np.testing.assert_array_equal(a, c.copy_to_host())
    assert all((a == b).all() for a, b in zip(pair.device, before, strict=True))
    assert (whole[:, 1::2] == 7).all()


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_copies_between_all_layouts(dtype):
    backend: Any = backends.load("numba-cuda")
    for a in made(dtype, 5):
        twice = np.asarray(a * 2)
        other_order = twice.T.copy().T
        for values in (twice, on_gpu(twice.copy("C")), on_gpu(other_order)):
            a[...] = 0
            view = backend.view(on_gpu(a), "a", written=True)
            backend.assign(view, values)
            np.testing.assert_array_equal(a, twice)
            np.testing.assert_array_equal(backend.to_host(view), a)
            twin = backend.copy(view)
            assert not np.shares_memory(twin._ary, a)
            assert twin.strides == np.empty_like(a).strides
            np.testing.assert_array_equal(twin.copy_to_host(), a)
    whole = np.zeros((4, 6), dtype)
    backend.assign(backend.view(on_gpu(whole[::-1, ::2]), "a"), np.arange(12).reshape(4, 3))
    assert whole[0, 0] == 9
    assert not whole[:, 1::2].any()


class Event:
    """Tells when a page-locked buffer was copied from, and when that copy was waited for."""

    log: list[tuple[str, int]]

    def record(self, stream: Any = 0) -> None:
        self.log.append(("record", id(self)))

    def synchronize(self) -> None:
        self.log.append(("wait", id(self)))


def test_uploads_take_turns_and_wait_for_their_last_copy(monkeypatch):
    Event.log = []
    monkeypatch.setattr(cuda, "event", Event)
    upload = numba_cuda_upload.Upload((2, 3), np.dtype("f4"))
    backend = backends.load("numba-cuda")
    for k in range(turns.TURNS + 1):
        upload.send(np.full((2, 3), k, "f4"))
        assert (backend.to_host(upload.target) == k).all()
    waits = [what for kind, what in Event.log if kind == "wait"]
    assert len(set(waits)) == turns.TURNS
    assert waits[-1] == waits[0]
    assert [kind for kind, _ in Event.log[:2]] == ["wait", "record"]
    count = len(Event.log)
    del upload
    assert [kind for kind, _ in Event.log[count:]] == ["wait"] * turns.TURNS
