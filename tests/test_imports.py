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


def test_what_surrounds_an_optimizer_is_imported_when_it_is_used():
    script = (
        "import sys, gpuopt\n"
        "for name in 'schedules', 'minibatch', 'memory':\n"
        "    assert f'gpuopt.{name}' not in sys.modules\n"
        "assert {*gpuopt.__all__} <= {*dir(gpuopt)}\n"
        "assert callable(gpuopt.schedules.cosine) and 'gpuopt.schedules' in sys.modules\n"
        "assert gpuopt.minibatches.__module__ == 'gpuopt.minibatch'\n"
        "import gpuopt.training, gpuopt.prefetch as module\n"
        "assert callable(gpuopt.prefetch)\n"
        "from gpuopt import *\n"
        "assert [name for name in gpuopt.__all__ if not hasattr(gpuopt, name)] == []\n"
        "try:\n"
        "    gpuopt.schedule\n"
        "except AttributeError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("module 'gpuopt' has no attribute 'schedule'\n", "")
