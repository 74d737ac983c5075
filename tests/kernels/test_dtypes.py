"""Conversions of 16-bit floats, bit for bit: for Numba, with instructions and without, and in C++
behind the shim."""

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


def compiled(name):
    from gpuopt.kernels import dtypes_numba

    widen, narrow = (getattr(dtypes_numba, f"{way}_{name}") for way in ("widen", "narrow"))

    @numba.njit(fastmath={"contract", "reassoc"})
    def convert(bits, wide, x, narrowed):
        for i in range(len(bits)):
            wide[i] = widen(bits[i])
        for i in range(len(x)):
            narrowed[i] = narrow(x[i])

    return convert


def by_numba(name, bits, x):
    wide, narrowed = np.empty(len(bits), "f4"), np.empty(len(x), "u2")
    compiled(name)(bits, wide, x, narrowed)
    return wide, narrowed


@pytest.fixture
def without_f16c(monkeypatch):
    """What Numba compiles from now on has integer arithmetic."""
    monkeypatch.setattr("gpuopt.kernels.dtypes_numba.converts_float16", lambda *machine: False)


@pytest.fixture(params=["numba", "integers", "cuda"])
def converted(request):
    """A function of bits and float32 numbers, which gives both converted."""
    if request.param == "integers":
        request.getfixturevalue("without_f16c")
    if request.param != "cuda":
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


@pytest.mark.parametrize("converted", ["numba", "integers"], indirect=True)
@pytest.mark.parametrize("name", HALVES)
def test_denormals_are_right_where_float32_ones_are_flushed(name, converted):
    torch = optional("torch")
    dtype = dtype_of(name)
    bits = np.arange(1, 0x0400, dtype="u2") if name == "float16" else BITS[0x80:0x7F80]
    tiny = np.float32([1e-45, 1e-38, -1e-38])  # round to zero in float16
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor flushes none")
    try:
        wide, _ = converted(name, bits, np.empty(0, "f4"))
        _, narrow = converted(name, bits[:0], wide)
        _, zeros = converted(name, bits[:0], tiny)
    finally:
        torch.set_flush_denormal(False)
    np.testing.assert_array_equal(wide.view("u4"), bits.view(dtype).astype("f4").view("u4"))
    np.testing.assert_array_equal(narrow, bits)
    np.testing.assert_array_equal(zeros, tiny.astype(dtype).view("u2"))


def has_f16c():
    from numba.core.registry import cpu_target

    from gpuopt.kernels.dtypes_numba import converts_float16

    return converts_float16(*cpu_target.target_context.codegen().magic_tuple())


X86 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="looks for x86 instructions")
# Of packs: one float16 is converted in xmm registers, too.
BY_INSTRUCTION = (r"vcvtph2psx?\s.*%[yz]mm", r"vcvtps2phx?\s.*%[yz]mm")
BY_INTEGERS = (r"v?pslld\s.*%[xyz]mm", r"v?psrld\s.*%[xyz]mm")
BY_LIBRARY = r"cvtss2sd|cvtps2pd|_(ext|trunc)\w*hf|gnu_[hf]2"


@X86
@pytest.mark.parametrize("name", HALVES)
def test_integers_are_converted_in_packs(name, without_f16c):
    convert = compiled(name)
    two, four = (numba.types.Array(x, 1, "C") for x in (numba.uint16, numba.float32))
    convert.compile((two, four, four, two))
    (assembly,) = convert.inspect_asm().values()
    assert all(re.search(word, assembly) for word in BY_INTEGERS)
    assert not re.search(rf"cvtp[sh]2p[sh]|{BY_LIBRARY}", assembly)


@X86
@pytest.mark.parametrize("name", HALVES)
def test_a_sweep_of_them_is_vectorised(name, monkeypatch, tmp_path):
    monkeypatch.setenv("GPUOPT_CACHE_DIR", str(tmp_path))  # what was kept cannot be inspected
    monkeypatch.setattr(numba_backend, "compiled", numba_backend.compiled.__wrapped__)
    p = np.ones(64, dtype_of(name))
    opt = gpuopt.Optimizer(p, rules.Adam(), lr=0.1, backend="numba")
    opt.step(np.ones(64, dtype_of(name)))
    (sweep,) = opt._stepper.plan.sweeps
    (assembly,) = sweep.launch.sweep.inspect_asm().values()
    widened, narrowed = BY_INSTRUCTION if name == "float16" and has_f16c() else BY_INTEGERS
    assert re.search(r"sqrtps\s.*%[xyz]mm", assembly), "no packed square root"
    assert re.search(widened, assembly), "not widened in packs"
    assert re.search(narrowed, assembly), "not narrowed in packs"
    assert not re.search(BY_LIBRARY, assembly)
