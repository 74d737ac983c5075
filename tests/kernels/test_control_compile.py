"""The control kernel, compiled for real GPUs by NVRTC, for every rule; and its error messages."""

import re

import pytest

from gpuopt import rules
from gpuopt.kernels.launch import BLOCK
from gpuopt.lowering import control, cuda_text
from gpuopt.lowering.scalars import trace_scalars
from gpuopt.rules.whole import WholeStep
from tests.kernels.test_compile import GPUS
from tests.without_gpu import missing, nvrtc
from tests.without_gpu.cases import RULES

# Three doubles kept over a call of `pow`, by a kernel that runs once in a step: nothing to mend.
MOST_SPILLED = 24


@pytest.fixture(autouse=True)
def need_nvrtc():
    if nvrtc.library() is None:
        missing("these tests need nvidia-cuda-nvrtc-cu12 (pip install 'gpuopt[test]')")


def source(rule, real="float32"):
    return control.module(trace_scalars(rule), real, BLOCK)


def whole(rule):
    return WholeStep(rule, scaled=True, limited=True, skippable=True, zeroed=True, average=0.999)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_hardly_any_spills_and_no_warnings(rule, gpu):
    if gpu not in nvrtc.gpus():
        pytest.skip(f"this NVRTC does not know {gpu}")
    made = [("float32", whole(rule))]
    if gpu == "sm_90":
        made += [("float64", whole(rule)), ("float32", rule)]
    for real, around in made:
        compiled = nvrtc.compile_for(gpu, source(around, real))
        assert compiled.spilled <= MOST_SPILLED
        assert compiled.log.count("warning") == 0, compiled.log
        assert "atom" not in compiled.ptx


def test_the_file_itself_compiles():
    """With the formula that stands in it, as a reader finds it."""
    text = cuda_text._read("control.cuh").replace("--- formula", "--- the formula")
    text = re.sub(r'#include "(.*)"\n', lambda include: cuda_text._read(include.group(1)), text)
    assert nvrtc.compile_for("sm_80", text).spilled == 0


@pytest.mark.parametrize("file", ["control.cuh", "memory.cuh", "math.cuh"])
def test_a_compiler_error_names_the_file_and_line_to_edit(file, monkeypatch):
    read, wrong = cuda_text._read, "int wrong = nothing_of_that_name;\n"
    monkeypatch.setattr(cuda_text, "_read", lambda x: read(x) + wrong if x == file else read(x))
    line = (read(file) + wrong).count("\n")
    with pytest.raises(nvrtc.CompileError, match=rf"(?m)^{file}\({line}\): error"):
        nvrtc.compile_for("sm_80", source(rules.Adam()))


def test_a_compiler_error_in_scalars_names_the_rule(monkeypatch):
    monkeypatch.setitem(cuda_text.TEMPLATES, "power", "op::power({0}, {1})")
    with pytest.raises(nvrtc.CompileError, match=r"(?m)^scalars of Adam\(\d+\): error"):
        nvrtc.compile_for("sm_80", source(rules.Adam()))
