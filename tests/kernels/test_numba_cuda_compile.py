"""The Numba CUDA kernels as PTX, compiled for GPUs that are not here."""

import importlib.util
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpuopt import rules
from gpuopt.lowering import numba_cuda as printer
from gpuopt.lowering.scalars import trace_scalars
from gpuopt.lowering.trace import trace
from gpuopt.rules.whole import WholeStep
from tests.optional import optional

optional("numba_cuda")
nvcc = optional("nvidia.cuda_nvcc")

ARCHITECTURES = [(7, 5), (9, 0)]
ADDRESSES = {"sweep": "iiiii", "norm": "iiiiii", "control": "iiiiiifffiiiiiifffii"}


@pytest.fixture(params=ARCHITECTURES, ids="sm_{0[0]}{0[1]}".format)
def architecture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A GPU to compile for, which device functions are compiled for too."""
    from numba.cuda import dispatcher

    device = SimpleNamespace(compute_capability=request.param)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: device)
    return request.param


def compiled(text: str, name: str, architecture: Any, folder: Path) -> str:
    """The PTX of a printed kernel, once ptxas has found that no register is spilled."""
    from numba import cuda, types

    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kinds = [{"i": types.int64, "f": types.float64}[x] for x in ADDRESSES[name]]
    kernel = getattr(module, name).py_func
    ptx, _ = cuda.compile_ptx(kernel, types.void(*kinds), cc=architecture)
    report = ptxas(ptx, architecture, folder)
    assert re.findall(r"(\d+) bytes stack frame", report).count("0"), report
    assert set(re.findall(r"(\d+) bytes spill", report)) == {"0"}, report
    return ptx


def ptxas(ptx: str, architecture: Any, folder: Path) -> str:
    source = folder / "kernel.ptx"
    source.write_text(ptx)
    program = Path(nvcc.__path__[0]) / "bin" / "ptxas"
    arch = "-arch=sm_{}{}".format(*architecture)
    command = [str(program), "-v", arch, str(source), "-o", str(folder / "kernel.cubin")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


def assert_accesses_are_global(ptx: str) -> None:
    assert "ld.global" in ptx
    assert not re.search(r"\s(ld|st)\.(?!global|param|shared)", ptx)


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("cls", [rules.SGD, rules.AdamW])
def test_sweep(cls: Any, real: str, architecture: Any, tmp_path: Path) -> None:
    program = trace(cls())
    count = len(program.arrays)
    ptx = compiled(printer.sweep(program, real, (real,) * count), "sweep", architecture, tmp_path)
    assert_accesses_are_global(ptx)
    assert ("ld.global.v4.f32" if real == "float32" else "ld.global.v2.f64") in ptx
    assert ("st.global.v4.f32" if real == "float32" else "st.global.v2.f64") in ptx
    assert (".f64" in ptx) == (real == "float64")
    assert not re.search(r"(div|sqrt)\.(approx|full)|\.ftz|call", ptx)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("cls", [rules.SGD, rules.AdamW])
def test_sweep_of_16_bit_parameters(cls: Any, half: str, architecture: Any, tmp_path: Path) -> None:
    program = trace(cls())
    storage = (half, half, *["float32"] * (len(program.arrays) - 2))
    ptx = compiled(printer.sweep(program, "float32", storage), "sweep", architecture, tmp_path)
    assert_accesses_are_global(ptx)
    assert "ld.global.v4.u16" in ptx
    assert "st.global.v4.u16" in ptx
    assert ("ld.global.v4.f32" in ptx) == (len(storage) > 2)
    assert ".f64" not in ptx
    assert not re.search(r"(div|sqrt)\.(approx|full)|\.ftz|call", ptx)


def test_a_copy(architecture: Any, tmp_path: Path) -> None:
    from gpuopt.backends.numba_cuda import COPY

    ptx = compiled(
        printer.sweep(COPY, "float32", ("float32",) * 2), "sweep", architecture, tmp_path
    )
    assert_accesses_are_global(ptx)


@pytest.mark.parametrize("storage", ["float16", "bfloat16", "float32", "float64"])
def test_norm(storage: str, architecture: Any, tmp_path: Path) -> None:
    ptx = compiled(printer.norm(storage), "norm", architecture, tmp_path)
    assert_accesses_are_global(ptx)
    assert {"float32": "ld.global.v4.f32", "float64": "ld.global.v2.f64"}.get(
        storage, "ld.global.v4.u16"
    ) in ptx


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_control(real: str, architecture: Any, tmp_path: Path) -> None:
    program = trace_scalars(WholeStep(rules.Adam(), scaled=True, limited=True, skippable=True))
    ptx = compiled(printer.control(program, real), "control", architecture, tmp_path)
    assert_accesses_are_global(ptx)
    assert "div.rn.f64" in ptx
    assert "sqrt.rn.f64" in ptx
