"""Kernels compiled for real GPUs by NVRTC: spills, 128-bit accesses, types, and error messages."""

import re

import pytest

from gpuopt import rules
from gpuopt.lowering import cuda
from gpuopt.lowering.trace import trace
from tests.without_gpu import missing, nvrtc
from tests.without_gpu.cases import RULES, source

GPUS = ("sm_75", "sm_80", "sm_90", "sm_100")
REALS = {"float32": "v4.f32", "float64": "v2.f64"}


@pytest.fixture(autouse=True)
def need_nvrtc():
    if nvrtc.library() is None:
        missing("these tests need nvidia-cuda-nvrtc-cu12 (pip install 'gpuopt[test]')")


def test_every_rule_is_compiled_here():
    assert {type(rule) for rule in RULES} == set(rules.ALL)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_no_spills_and_128_bit_accesses(rule, real, gpu):
    compiled = nvrtc.compile_for(gpu, source(rule, real))
    assert compiled.spilled == 0
    assert compiled.registers <= 128  # two blocks and more on a multiprocessor's 65,536
    arrays = len(trace(rule).arrays)
    # Two packs in flight and one in the loop over what is left, or more where the compiler unrolls;
    # only the gradient is not stored.
    assert compiled.ptx.count(f"ld.global.{REALS[real]}") >= 3 * arrays
    assert compiled.ptx.count(f"st.global.{REALS[real]}") >= 3 * (arrays - 1)
    generic = re.findall(r"\b(?:ld|st)\.(?:v\d\.)?[fu]\d+", compiled.ptx)
    assert not generic, "accesses that do not know that memory is global"
    assert compiled.log.count("warning") == 0, compiled.log


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


def test_the_file_itself_compiles():
    """kernels/sweep.cuh with the formula that stands in it, as a reader finds it."""
    text = cuda._read("sweep.cuh").replace("--- formula", "--- the formula")
    for name in ("math.cuh", "memory.cuh"):
        text = text.replace(f'#include "{name}"\n', cuda._read(name))
    assert nvrtc.compile_for("sm_80", text).spilled == 0


@pytest.mark.parametrize("file", ["sweep.cuh", "memory.cuh", "math.cuh"])
def test_a_compiler_error_names_the_file_and_line_to_edit(file, monkeypatch):
    read, wrong = cuda._read, "int wrong = nothing_of_that_name;\n"

    def broken(name):
        return read(name) + wrong if name == file else read(name)

    monkeypatch.setattr(cuda, "_read", broken)
    line = (read(file) + wrong).count("\n")
    with pytest.raises(nvrtc.CompileError, match=rf"(?m)^{file}\({line}\): error"):
        nvrtc.compile_for("sm_80", source(rules.Adam()))


def test_a_compiler_error_between_includes_and_formula_names_its_line(monkeypatch):
    read, wrong = cuda._read, "int wrong = nothing_of_that_name;\n"
    text = read("sweep.cuh").replace(cuda.BEGIN, wrong + cuda.BEGIN)
    monkeypatch.setattr(cuda, "_read", lambda name: text if name == "sweep.cuh" else read(name))
    line = text[: text.index(wrong)].count("\n") + 1
    with pytest.raises(nvrtc.CompileError, match=rf"(?m)^sweep.cuh\({line}\): error"):
        nvrtc.compile_for("sm_80", source(rules.Adam()))


def test_a_compiler_error_in_a_formula_names_the_rule(monkeypatch):
    monkeypatch.setitem(cuda.TEMPLATES, "sqrt", "op::root({0})")
    with pytest.raises(nvrtc.CompileError, match=r"(?m)^formula of Adam\(\d+\): error"):
        nvrtc.compile_for("sm_80", source(rules.Adam()))
