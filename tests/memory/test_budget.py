import sys
from types import SimpleNamespace

import pytest

from gpuopt.memory.budget import Budget, cpu_budget, given, gpu_budget
from gpuopt.memory.limits import Limit
from tests.memory import fake_linux as fake
from tests.memory.fake_linux import GIB


def without_psutil(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)


@pytest.fixture
def psutil(monkeypatch):
    found = SimpleNamespace(
        virtual_memory=lambda: SimpleNamespace(total=8 * GIB, available=3 * GIB)
    )
    monkeypatch.setitem(sys.modules, "psutil", found)


@pytest.mark.parametrize(
    ("container", "data", "space", "expected", "line"),
    [
        (50, 55, 60, 40, "40.0 GiB: available memory of 64.0 GiB less 24.0 GiB in use"),
        (
            38,
            50,
            60,
            37,
            "37.0 GiB: container limit /job (cgroup v2, memory.max) of 38.0 GiB less ",
        ),
        (50, 9, 60, 7, "7.0 GiB: RLIMIT_DATA of 9.0 GiB less 2.0 GiB in use"),
        (50, 55, 8, 5, "5.0 GiB: RLIMIT_AS of 8.0 GiB less 3.0 GiB in use"),
    ],
)
def test_the_least_of_all_limits(tmp_path, container, data, space, expected, line):
    mounts = fake.mount_v2()
    root = fake.machine(tmp_path, "0::/job", mounts, data=data * GIB, space=space * GIB)
    fake.group_v2(root / "sys/fs/cgroup/job", container * GIB, GIB)
    budget = cpu_budget(root)
    assert budget.bytes == expected * GIB
    assert str(budget).startswith(line)
    assert "\n" not in str(budget)
    assert sorted(limit.free // GIB for limit in budget.limits) == sorted(
        [40, container - 1, data - 2, space - 3]
    )
    assert budget.limits[0].free == budget.bytes
    assert budget.unread == ()


def test_no_limits_but_the_memory_itself(tmp_path):
    available = Limit("available memory", 64 * GIB, 24 * GIB)
    assert cpu_budget(fake.machine(tmp_path)) == Budget(40 * GIB, (available,))


def test_nothing_is_left(tmp_path):
    budget = cpu_budget(fake.machine(tmp_path, data=GIB))  # lowered while it ran
    assert budget.bytes == 0
    assert str(budget) == "0 B: RLIMIT_DATA of 1.0 GiB less 2.0 GiB in use"


@pytest.mark.parametrize(("mode", "expected"), [("0", 40), ("1", 40), ("2", 30)])
def test_strict_accounting_has_a_limit_of_its_own(tmp_path, mode, expected):
    root = fake.machine(tmp_path)
    fake.write(root / "proc/sys/vm/overcommit_memory", mode)
    assert cpu_budget(root).bytes == expected * GIB


def test_what_cannot_be_read_is_named(tmp_path):
    root = fake.machine(tmp_path, "0::/job", "", data=9 * GIB, space=9 * GIB)
    fake.write(root / "proc/self/status", "VmSize: some kB\nVmData:\t 2097152 kB")
    budget = cpu_budget(root)
    assert budget.unread == ("container limit /job (cgroup v2, not mounted here)", "RLIMIT_AS")
    assert str(budget) == (
        "7.0 GiB: RLIMIT_DATA of 9.0 GiB less 2.0 GiB in use; could not be read: "
        "container limit /job (cgroup v2, not mounted here), RLIMIT_AS"
    )
    (root / "proc/self/limits").unlink()
    assert cpu_budget(root).unread[1:] == ("RLIMIT_AS", "RLIMIT_DATA")


@pytest.mark.parametrize("meminfo", [None, "MemTotal: 100 kB", "garbage\n\x00"])
@pytest.mark.usefixtures("psutil")
def test_psutil_is_asked_where_proc_says_nothing(tmp_path, meminfo):
    if meminfo is not None:
        fake.write(tmp_path / "proc/meminfo", meminfo)
    budget = cpu_budget(tmp_path)
    assert budget == Budget(3 * GIB, (Limit("available memory", 8 * GIB, 5 * GIB),))


def test_nobody_knows(tmp_path, monkeypatch):
    without_psutil(monkeypatch)
    with pytest.raises(RuntimeError, match="pip install psutil, or give a budget such as 16GiB"):
        cpu_budget(tmp_path)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_this_machine(monkeypatch):
    without_psutil(monkeypatch)
    budget = cpu_budget()
    total = next(limit.total for limit in budget.limits if limit.name == "available memory")
    assert 0 < budget.bytes <= total
    assert budget.limits[0].free == budget.bytes


def device(free=6, kept=1, used=1, limit=0) -> SimpleNamespace:
    """CuPy with a GPU of 10 GiB; all in GiB."""
    pool = SimpleNamespace(
        free_bytes=lambda: kept * GIB, used_bytes=lambda: used * GIB, get_limit=lambda: limit * GIB
    )
    runtime = SimpleNamespace(memGetInfo=lambda: (free * GIB, 10 * GIB))
    cuda = SimpleNamespace(runtime=runtime, Device=lambda: SimpleNamespace(id=1))
    return SimpleNamespace(cuda=cuda, get_default_memory_pool=lambda: pool)


@pytest.mark.parametrize(
    ("cupy", "expected", "line"),
    [
        (device(), 7, "7.0 GiB: memory of GPU 1 of 10.0 GiB less 3.0 GiB in use"),
        (device(limit=9), 7, "7.0 GiB: memory of GPU 1"),
        (device(limit=5), 4, "4.0 GiB: limit of CuPy's pool of 5.0 GiB less 1.0 GiB in use"),
        (device(used=2, limit=1), 0, "0 B: limit of CuPy's pool of 1.0 GiB less 2.0 GiB in use"),
    ],
)
def test_gpu(cupy, expected, line):
    budget = gpu_budget(cupy)
    assert budget.bytes == expected * GIB
    assert str(budget).startswith(line)


def test_the_users_own_number():
    assert str(given("16GiB")) == "16.0 GiB: as given"
    assert given(500_000_000) == given("500MB") == given("0.5 GB")
    with pytest.raises(ValueError, match=r"^the memory budget must be bytes such as 16GiB"):
        given("plenty")
