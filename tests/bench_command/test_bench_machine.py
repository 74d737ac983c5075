"""What is written down of the machine."""

import json
import re
from types import SimpleNamespace

from gpuopt import backends
from gpuopt.bench import machine


def test_what_results_need_is_there():
    found = json.loads(json.dumps(machine.machine()))
    assert found["processor"]
    assert found["cores"] >= 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert re.fullmatch(r"[0-9a-f]{12}", found["sources"])
    assert found["versions"]["numpy"]
    assert {"torch", "thinc", "optax", "bitsandbytes", "torchao"} <= {*found["versions"]}


def test_a_commit_only_where_gpuopt_lies_in_a_checkout(tmp_path, monkeypatch):
    said = {"rev-parse": "abc1234", "status": ""}
    monkeypatch.setattr(machine, "output", lambda *command: said[command[1]])
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    assert machine.checkout() == {}
    (tmp_path / ".git").mkdir()
    assert machine.checkout() == {"commit": "abc1234"}
    said["status"] = " M README.md"
    assert machine.checkout() == {"commit": "abc1234+"}
    said["rev-parse"] = ""
    assert machine.checkout() == {}


def test_sources_tell_texts_apart(tmp_path, monkeypatch):
    kernels = tmp_path / "elsewhere"
    package = tmp_path / "gpuopt"
    package.mkdir()
    kernels.mkdir()
    (package / "a.py").write_text("1")
    (kernels / "k.cuh").write_text("2")
    (package / "kernels").symlink_to(kernels)
    monkeypatch.setattr(machine, "PACKAGE", package)
    first = machine.sources()
    (kernels / "k.cuh").write_text("3")
    assert machine.sources() != first
    (kernels / "k.cuh").write_text("2")
    assert machine.sources() == first
    (package / "b.py").write_text("1")
    assert machine.sources() != first


def test_programs_that_fail_say_nothing():
    assert machine.output("no-such-program-at-all") == ""
    assert machine.output("git", "no-such-command") == ""


def test_clocks(monkeypatch):
    line = ", ".join(str(k) for k in range(11))
    monkeypatch.setattr(machine, "output", lambda *command: f"{line}\nsecond, gpu")
    assert list(machine.clocks().values()) == [str(k) for k in range(11)]
    assert machine.clocks()["clocks.mem"] == "4"
    monkeypatch.setattr(machine, "output", lambda *command: "")
    assert machine.clocks() == {}


PROPERTIES = {"name": b"GPU 9", "major": 9, "minor": 0, "multiProcessorCount": 132}
PROPERTIES |= {"l2CacheSize": 5, "totalGlobalMem": 7}


def test_a_gpu(monkeypatch):
    runtime = SimpleNamespace(
        getDevice=lambda: 0,
        getDeviceProperties=lambda device: PROPERTIES,
        driverGetVersion=lambda: 12090,
        runtimeGetVersion=lambda: 12080,
    )
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(machine.importlib, "import_module", {"cupy": cupy}.__getitem__)
    monkeypatch.setattr(machine, "output", lambda *command: "")
    found = machine.gpu()
    assert (found["gpu"], found["compute_capability"]) == ("GPU 9", "9.0")
    assert (found["cuda_driver"], found["cuda_runtime"]) == (12090, 12080)
    assert (found["l2_bytes"], found["memory_bytes"]) == (5, 7)


def test_a_gpu_that_cannot_be_asked_spoils_nothing(monkeypatch):
    def broken():
        raise OSError("the driver is gone")

    monkeypatch.setattr(backends, "unavailable", lambda name: None)
    monkeypatch.setattr(machine, "gpu", broken)
    found = machine.machine()
    assert found["error"] == "OSError: the driver is gone"
    assert found["processor"]
