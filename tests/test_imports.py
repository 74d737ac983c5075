"""What importing gpuopt may load. Who may import whom is checked by import-linter."""

import subprocess
import sys

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
