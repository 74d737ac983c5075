"""Conversions of 16-bit floats, bit for bit: for Numba, and in C++ behind the shim."""

import os
import re

import numpy as np
import pytest

import gpuopt
from gpuopt import rules
from gpuopt.backends import numba as numba_backend
from gpuopt.lowering import cuda_text
from tests.halves import HALVES, dtype_of
from tests.optional import optional

numba = optional("numba")
BITS = np.arange(1 << 16, dtype=np.uint16)

KERNEL = """
extern "C" __global__ void convert(const unsigned short *bits, float *wide, int64 widened,
                                   const float *x, unsigned short *narrow, int64 narrowed)
{
    for (int64 i = threadIdx.x; i < widened; i += blockDim.x)
        wide[i] = float(reinterpret_cast<const HALF *>(bits)[i]);
    for (int64 i = threadIdx.x; i < narrowed; i += blockDim.x) narrow[i] = HALF(x[i]).bits;
}
"""


def around(dtype):
    """All float32 numbers of these bits and near what must be rounded to them, and many others."""
    exact = BITS.view(dtype).astype("f4").view("u4")
    half = 1 << (12 if dtype.name == "float16" else 15)
    offsets = [k + d for k in (0, half, 2 * half) for d in (-2, -1, 0, 1, 2)]
    some = np.random.default_rng(0).integers(0, 1 << 32, 100_000, np.uint32)
    return np.concatenate([some, *(exact + np.uint32(d % (1 << 32)) for d in offsets)]).view("f4")


def by_numba(name, bits, x):
    from gpuopt.kernels import dtypes_numba

    widen, narrow = (getattr(dtypes_numba, f"{way}_{name}") for way in ("widen", "narrow"))

    @numba.njit(fastmath={"contract", "reassoc"})
    def convert(bits, wide, x, narrowed):
        for i in range(len(bits)):
            wide[i] = widen(bits[i])
        for i in range(len(x)):
            narrowed[i] = narrow(x[i])

    wide, narrowed = np.empty(len(bits), "f4"), np.empty(len(x), "u2")
    convert(bits, wide, x, narrowed)
    return wide, narrowed


@pytest.fixture(params=["numba", "cuda"])
def converted(request):
    """A function of bits and float32 numbers, which gives both converted."""
    if request.param == "numba":
        return by_numba
    cupy = request.getfixturevalue("cupy_stand_in")

    def by_cuda(name, bits, x):
        read = cuda_text._read
        code = read("dtypes.cuh") + "using int64 = long long;\n" + KERNEL.replace("HALF", name)
        kernel = cupy.RawModule(code=code, options=("--std=c++17",)).get_function("convert")
        wide, narrowed = np.empty(len(bits), "f4"), np.empty(len(x), "u2")
        given, out = [cupy.ndarray(a) for a in (bits, wide)], [cupy.ndarray(x)]
        out.append(cupy.ndarray(narrowed))
        kernel((1,), (1,), (*given, np.int64(len(bits)), *out, np.int64(len(x))))
        return wide, narrowed

    return by_cuda


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("name", HALVES)
def test_every_pattern_and_every_boundary(name, converted):
    dtype = dtype_of(name)
    x = around(dtype)
    wide, narrow = converted(name, BITS, x)
    expected, rounded = BITS.view(dtype).astype("f4"), x.astype(dtype)
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(wide[number].view("u4"), expected[number].view("u4"))
    assert np.isnan(wide[~number]).all()
    number = ~np.isnan(x)
    np.testing.assert_array_equal(narrow[number], rounded[number].view("u2"))
    assert np.isnan(narrow[~number].view(dtype).astype("f4")).all()
    assert (narrow[~number] >> 15 == x[~number].view("u4") >> 31).all(), "the sign of NaN"


@pytest.mark.parametrize("name", HALVES)
def test_denormals_are_right_where_float32_ones_are_flushed(name):
    torch = optional("torch")
    dtype = dtype_of(name)
    bits = np.arange(1, 0x0400, dtype="u2") if name == "float16" else BITS[0x80:0x7F80]
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor flushes none")
    try:
        wide, narrow = by_numba(name, bits, np.empty(0, "f4"))
        _, narrow = by_numba(name, bits[:0], wide)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(wide.view("u4"), bits.view(dtype).astype("f4").view("u4"))
    np.testing.assert_array_equal(narrow, bits)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="looks for x86 instructions")
@pytest.mark.parametrize("name", HALVES)
def test_a_sweep_of_them_is_vectorised(name, monkeypatch, tmp_path):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path))  # what was kept cannot be inspected
    monkeypatch.setattr(numba_backend, "sweep_of", numba_backend.sweep_of.__wrapped__)
    p = np.ones(64, dtype_of(name))
    opt = gpuopt.Optimizer(p, rules.Adam(), lr=0.1, backend="numba")
    opt.step(np.ones(64, dtype_of(name)))
    (sweep,) = opt._stepper.plan.sweeps
    (assembly,) = sweep.launch.sweep.inspect_asm().values()
    assert re.search(r"sqrtps\s.*%[xyz]mm", assembly), "no packed square root"
    assert re.search(r"v?pslld\s.*%[xyz]mm", assembly), "bits are not widened in packs"
    assert re.search(r"v?psrld\s.*%[xyz]mm", assembly), "bits are not narrowed in packs"
    assert not re.search(r"cvtp[sh]2p[sh]|cvtss2sd|cvtps2pd|_(ext|trunc)\w*hf|gnu_[hf]2", assembly)
