"""`gpuopt info` says what it can, whatever is broken."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

from gpuopt import backends, info
from gpuopt.cli import main


def test_it_ends_in_one_verdict(capsys):
    assert main(["info"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("gpuopt runs on the ")


def test_the_json_holds_every_section(tmp_path, capsys):
    assert main(["info", "--json", str(tmp_path / "info.json")]) == 0
    found = json.loads((tmp_path / "info.json").read_text())
    assert {"versions", "cpu", "memory", "gpus", "backends", "verdict"} < set(found)
    assert found["verdict"] == capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("section", ["versions", "cpu", "memory", "gpus", "runnable"])
def test_a_section_that_breaks_takes_nothing_with_it(section, monkeypatch, capsys):
    def broken():
        raise OSError("the disk\nis gone")

    monkeypatch.setattr(info, section, broken)
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "OSError: the disk is gone" in out
    assert out.splitlines()[-1].startswith("gpuopt ")


@pytest.mark.parametrize("package", ["psutil", "numba", "gpuopt.backends", "gpuopt.backends.numba"])
def test_a_missing_package_is_named(package, monkeypatch, capsys):
    backends.load.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["info"]) == 0
    backends.load.cache_clear()
    assert package in capsys.readouterr().out


def test_a_backend_that_breaks_oddly(monkeypatch, capsys):
    def broken(name):
        raise MemoryError

    monkeypatch.setattr(backends, "unavailable", broken)
    assert main(["info"]) == 0
    assert "does not run here: cupy: MemoryError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (
            {"cupy": None, "numba": None, "numpy": None},
            "gpuopt runs on the GPU with cupy, and on the CPU with numba",
        ),
        (
            {"cupy": "no driver", "numba": None, "numpy": None},
            "gpuopt runs on the CPU with numba; no GPU: no driver",
        ),
        (
            {"cupy": "no driver", "numba": "broken", "numpy": None},
            "gpuopt runs on the CPU with numpy (broken); no GPU: no driver",
        ),
        (
            {"cupy": "no CuPy", "numba-cuda": None, "numba": None, "numpy": None},
            "gpuopt runs on the GPU with numba-cuda, and on the CPU with numba",
        ),
        (
            {"cupy": "no CuPy", "numba-cuda": "no numba-cuda", "numba": None, "numpy": None},
            "gpuopt runs on the CPU with numba; no GPU: no CuPy; no numba-cuda",
        ),
        ({"cupy": "a", "numpy": "b"}, "gpuopt does not run here: cupy: a; numpy: b"),
        ({"error": "c"}, "gpuopt does not run here: c"),
    ],
)
def test_verdicts(found, verdict):
    assert info.verdict(found) == verdict


class Gpu:
    """A GPU as Numba shows it."""

    name, compute_capability = "GPU 0", (9, 0)

    def __enter__(self):
        pass

    def __exit__(self, *error):
        pass


def test_without_cupy_numba_tells_the_gpus(monkeypatch):
    reasons = {"cupy": "no CuPy", "numba-cuda": None}
    context = SimpleNamespace(get_memory_info=lambda: SimpleNamespace(free=1, total=2))
    module = ModuleType("gpuopt.kernels.device_numba_cuda")
    module.cuda = SimpleNamespace(gpus=[Gpu()], current_context=lambda: context)
    module.simulated = lambda: False
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(backends, "unavailable", reasons.get)
    expected = {"device": "cuda:0", "name": "GPU 0", "compute_capability": "9.0", "memory": 2}
    assert info.gpus() == [expected]
    module.simulated = lambda: True
    with pytest.raises(info.Missing, match="simulator"):
        info.gpus()
    reasons["numba-cuda"] = "no Numba"
    with pytest.raises(info.Missing, match=r"^no CuPy; no Numba$"):
        info.gpus()


def test_torch_is_not_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "torch" in info.versions()
