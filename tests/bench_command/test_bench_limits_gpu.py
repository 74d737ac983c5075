"""The limit on a GPU: its kernels run on the CPU behind the stand-in, and compile for real GPUs."""

import re

import numpy as np
import pytest

from gpuopt.bench import limits_gpu
from gpuopt.bench.traffic import Traffic, traffic
from tests.without_gpu import missing, nvrtc

MIXES = {
    "SGD": traffic("SGD"),
    "Adam": traffic("Adam"),
    "Adam, bfloat16": traffic("Adam", "bfloat16"),
    "Adam, float64": traffic("Adam", "float64"),
    "nothing is only read": Traffic((4,) * 6, (4,) * 6),
    "two are only read": Traffic((2, 4, 8), (2,)),
}
COUNT = 3 * 2 * 256 * 8 + 40  # elements: several blocks, and a last one that is not full


@pytest.fixture
def arrays(cupy_stand_in):
    def make(mix: Traffic):
        rng = np.random.default_rng(0)
        return [
            cupy_stand_in.asarray(np.frombuffer(rng.bytes(COUNT * w), f"u{w}")) for w in mix.reads
        ]

    return make


@pytest.mark.parametrize("mix", MIXES)
def test_no_element_changes(mix, arrays, cupy_stand_in):
    given = arrays(MIXES[mix])
    before = [a.get() for a in given]
    found = limits_gpu.limits(MIXES[mix], given)
    assert list(found)[:2] == [
        "limit, copy",
        f"limit, {MIXES[mix].name}, a thread for each pack",
    ]
    cupy_stand_in.events.clear()
    for run in found.values():
        run()
        for a, b in zip(given, before, strict=True):
            np.testing.assert_array_equal(a.host, b)
    kinds = [event.kind for event in cupy_stand_in.events]
    assert kinds == ["peer copy", *["launch"] * 4]


@pytest.mark.parametrize("shape", limits_gpu.SHAPES)
@pytest.mark.parametrize("mix", ["Adam, bfloat16", "two are only read", "nothing is only read"])
def test_every_element_is_read_and_written(mix, shape, arrays, monkeypatch):
    """With a mask of ones in place of zeros, written packs are flipped by what is only read."""
    traffic, given = MIXES[mix], arrays(MIXES[mix])
    packs = COUNT // limits_gpu.per_pack(traffic)
    before = [a.get().view(np.uint32).reshape(packs, -1) for a in given]
    printed = limits_gpu.source

    def flipping(*how):
        return printed(*how).replace("unsigned(mask)", "~0u")

    monkeypatch.setattr(limits_gpu, "source", flipping)
    limits_gpu.limits(traffic, given)[f"limit, {traffic.name}, {shape}"]()
    written = len(traffic.writes)
    which = np.full(packs, 0 if written < len(given) else 2**32 - 1, np.uint32)
    for a in before[written:]:
        which |= np.bitwise_or.reduce(a, axis=1)
    expected = [a ^ which[:, None] for a in before[:written]] + before[written:]
    for a, b in zip(given, expected, strict=True):
        np.testing.assert_array_equal(a.get().view(np.uint32).reshape(packs, -1), b)


def test_arrays_that_do_not_fit_are_refused(arrays):
    with pytest.raises(ValueError, match="needs flat arrays"):
        limits_gpu.limits(traffic("SGD"), arrays(MIXES["Adam"]))


@pytest.mark.parametrize("flight", [1, 2])
@pytest.mark.parametrize("mix", MIXES)
def test_real_compilers_make_wide_accesses_of_it(mix, flight):
    if nvrtc.library() is None:
        missing("NVRTC is not installed")
    made = nvrtc.compile_for("sm_90", limits_gpu.source(MIXES[mix], flight))
    assert made.spilled == 0
    found = set(re.findall(r"ld\.global\S*", made.ptx))
    assert any("v4.u32" in load for load in found), found
    assert not re.search(r"(ld|st)\.(global\.)?(nc\.)?[us](8|16)\b", made.ptx)


@pytest.mark.parametrize("total", [2, 100, 1000, 1001])
def test_a_copy_moves_half_the_bytes_once_each_way(total, cupy_stand_in, monkeypatch):
    monkeypatch.setattr(limits_gpu, "COPIED", 64)
    run = limits_gpu.copy(total)
    cupy_stand_in.events.clear()
    run()
    moved = [event.amount for event in cupy_stand_in.events]
    assert sum(moved) == total // 2
    assert max(moved) <= 64
