"""What importing gpuopt may load, and what kernels may import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

KERNELS = Path(__file__).parent.parent / "kernels"
HEAVY = "numba cupy torch thinc matplotlib typer rich sklearn psutil scipy safetensors".split()  # noqa: SIM905


def loaded_after(statement: str) -> set[str]:
    """Which heavy packages a new process has loaded after `statement`."""
    script = f"import sys\n{statement}\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_gpuopt_loads_nothing_heavy():
    assert loaded_after("import gpuopt") == set()


def test_the_test_above_can_fail():
    assert "numba" in loaded_after("import gpuopt, gpuopt.backends; gpuopt.backends.load('numba')")


def test_a_numpy_step_loads_nothing_heavy():
    step = "import numpy, gpuopt; p = numpy.ones(3); gpuopt.Adam(p, backend='numpy').step(p * 2)"
    assert loaded_after(step) == set()


def imports_of(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text()))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or ".")
    return names


@pytest.mark.parametrize("path", sorted(KERNELS.glob("*.py")), ids=lambda p: p.name)
def test_kernels_import_nothing_of_gpuopt(path):
    tops = {name.split(".")[0] for name in imports_of(path)}
    assert tops <= {"numpy", "numba"}


def test_imports_are_seen(tmp_path):
    (tmp_path / "x.py").write_text(
        "def f():\n    from gpuopt.rules import base\n    import os.path\n"
    )
    assert imports_of(tmp_path / "x.py") == {"gpuopt.rules", "os.path"}
