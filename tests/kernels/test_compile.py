"""Kernels compiled for real GPUs by NVRTC: spills, 128-bit accesses, types, and error messages."""

import re

import pytest

from gpuopt import rules
from gpuopt.kernels.launch import BLOCK, flight
from gpuopt.lowering import cuda, cuda_text
from gpuopt.lowering.trace import trace
from tests.without_gpu import missing, nvrtc
from tests.without_gpu.cases import RULES, source

GPUS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
REALS = {"float32": "v4.f32", "float64": "v2.f64"}

# Three blocks on a multiprocessor's 65,536 registers: 768 threads with 64 bytes each in flight.
MOST_REGISTERS = 80
# The compiler puts away a few registers for one block more on a multiprocessor. Where arithmetic is
# the limit (float64 at a thirty-second of the speed of float32), or few are put away, let it.
MOST_SPILLED = {("float64", "sm_75"): 32, ("bfloat16", "sm_100"): 40}
MOST_SPILLED |= {(half, "sm_120"): 16 for half in ("float16", "bfloat16")}


@pytest.fixture(autouse=True)
def need_nvrtc():
    if nvrtc.library() is None:
        missing("these tests need nvidia-cuda-nvrtc-cu12 (pip install 'gpuopt[test]')")


def test_every_rule_is_compiled_here():
    assert {type(rule) for rule in RULES} == set(rules.ALL)


def checked(gpu, text, real):
    """Compiled for a GPU, within the registers that gpuopt.kernels.launch counts with."""
    if gpu not in nvrtc.gpus():
        pytest.skip(f"this NVRTC does not know {gpu}")
    compiled = nvrtc.compile_for(gpu, text)
    assert compiled.spilled <= MOST_SPILLED.get((real, gpu), 0)
    assert compiled.registers <= MOST_REGISTERS
    generic = re.findall(r"\b(?:ld|st)\.(?:v\d\.)?[fu]\d+", compiled.ptx)
    assert not generic, "accesses that do not know that memory is global"
    assert compiled.log.count("warning") == 0, compiled.log
    return compiled.ptx


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_no_spills_and_128_bit_accesses(rule, real, gpu):
    ptx = checked(gpu, source(rule, real), real)
    arrays = len(trace(rule).arrays)
    packs = flight(16 * arrays)
    packs += packs > 1  # and one in the loop over what is left; only the gradient is not stored
    assert ptx.count(f"ld.global.{REALS[real]}") >= packs * arrays
    assert ptx.count(f"st.global.{REALS[real]}") >= packs * (arrays - 1)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("rule", [rules.SGD(), rules.AdamW(), RULES[7]], ids=repr)
def test_16_bit_floats_move_in_packs(rule, half, gpu):
    program = trace(rule)
    storage = (half, half, *["float32"] * (len(program.arrays) - 2))
    ptx = checked(gpu, cuda.module(program, "float32", storage, BLOCK, "sweep"), half)
    packs = flight(4 * (2 * 2 + 4 * (len(program.arrays) - 2)))
    assert ptx.count("ld.global.v4.u16") >= 2 * packs
    assert ptx.count("st.global.v4.u16") >= packs
    assert ptx.count("ld.global.v4.f32") >= (len(program.arrays) - 2) * packs
    assert ".f64" not in ptx
    assert ".ftz" not in ptx


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_the_norm_of_16_bit_floats_has_128_bit_loads(half, gpu):
    ptx = checked(gpu, cuda.norm_module(half, BLOCK), half)
    assert ptx.count("ld.global.v4.u32") >= flight(16)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("real", REALS)
def test_the_norm_has_no_spills_and_128_bit_loads(real, gpu):
    ptx = checked(gpu, cuda.norm_module(real, BLOCK), real)
    loads = f"ld.global.{REALS[real]}"
    assert ptx.count(loads) >= flight(16)
    assert "atom" not in ptx, "a sum in the order in which threads happen to come"


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_float32_kernels_hold_no_float64(rule):
    assert ".f64" not in nvrtc.compile_for("sm_80", source(rule)).ptx


@pytest.mark.parametrize("rule", [rules.Adam(), rules.RMSprop(centered=True)], ids=repr)
def test_square_root_and_division_are_correctly_rounded(rule):
    ptx = nvrtc.compile_for("sm_80", source(rule)).ptx
    assert "sqrt.rn.f32" in ptx
    assert "div.rn.f32" in ptx
    assert "approx" not in ptx
    assert ".ftz" not in ptx


@pytest.mark.parametrize("file", ["sweep.cuh", "norm.cuh"])
def test_the_file_itself_compiles(file):
    """With the formula that stands in it, as a reader finds it."""
    text = cuda_text._read(file).replace("--- formula", "--- the formula")
    text = re.sub(r'#include "(.*)"\n', lambda include: cuda_text._read(include.group(1)), text)
    assert nvrtc.compile_for("sm_80", text).spilled == 0


FILES = [("sweep.cuh", True), ("memory.cuh", True), ("layout.cuh", True), ("math.cuh", True)]
FILES += [("norm.cuh", False), ("layout.cuh", False), ("dtypes.cuh", True), ("dtypes.cuh", False)]


@pytest.mark.parametrize(("file", "swept"), FILES)
def test_a_compiler_error_names_the_file_and_line_to_edit(file, swept, monkeypatch):
    read, wrong = cuda_text._read, "int wrong = nothing_of_that_name;\n"

    def broken(name):
        return read(name) + wrong if name == file else read(name)

    monkeypatch.setattr(cuda_text, "_read", broken)
    line = (read(file) + wrong).count("\n")
    text = source(rules.Adam()) if swept else cuda.norm_module("float32", BLOCK)
    with pytest.raises(nvrtc.CompileError, match=rf"(?m)^{file}\({line}\): error"):
        nvrtc.compile_for("sm_80", text)


def test_a_compiler_error_between_includes_and_formula_names_its_line(monkeypatch):
    read, wrong = cuda_text._read, "int wrong = nothing_of_that_name;\n"
    text = read("sweep.cuh").replace(cuda_text.BEGIN, wrong + cuda_text.BEGIN)
    monkeypatch.setattr(
        cuda_text, "_read", lambda name: text if name == "sweep.cuh" else read(name)
    )
    line = text[: text.index(wrong)].count("\n") + 1
    with pytest.raises(nvrtc.CompileError, match=rf"(?m)^sweep.cuh\({line}\): error"):
        nvrtc.compile_for("sm_80", source(rules.Adam()))


def test_a_compiler_error_in_a_formula_names_the_rule(monkeypatch):
    monkeypatch.setitem(cuda_text.TEMPLATES, "sqrt", "op::root({0})")
    with pytest.raises(nvrtc.CompileError, match=r"(?m)^formula of Adam\(\d+\): error"):
        nvrtc.compile_for("sm_80", source(rules.Adam()))
