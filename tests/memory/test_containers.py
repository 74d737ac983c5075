import pytest

from gpuopt.memory.containers import container_limits
from gpuopt.memory.limits import Limit
from tests.memory import fake_linux as fake
from tests.memory.fake_linux import GIB, group_v1, group_v2, mount_v1, mount_v2

V1_LINES = "5:cpu,cpuacct:/\n4:memory:{path}\n1:name=systemd:/memory\n"


def limits(root):
    return list(container_limits(root))


def v1(path: str, total: int, used: int) -> Limit:
    return Limit(f"container limit {path} (cgroup v1, memory.limit_in_bytes)", total, used)


def v2(path: str, total: int, used: int, file: str = "memory.max") -> Limit:
    return Limit(f"container limit {path} (cgroup v2, {file})", total, used)


def test_version_2_without_the_page_cache(tmp_path):
    root = fake.machine(tmp_path, "0::/user.slice/job", mount_v2())
    folder = root / "sys/fs/cgroup/user.slice"
    cache = {"inactive_file": 2 * GIB, "active_file": GIB, "slab_reclaimable": GIB // 2}
    group_v2(folder / "job", 16 * GIB, 8 * GIB, file=6 * GIB, shmem=GIB, **cache)
    group_v2(folder, 32 * GIB, 20 * GIB)
    assert limits(root) == [
        v2("/user.slice/job", 16 * GIB, 9 * GIB // 2),
        v2("/user.slice", 32 * GIB, 20 * GIB),
    ]


def test_version_1_without_the_page_cache_of_it_and_the_groups_below(tmp_path):
    root = fake.machine(tmp_path, V1_LINES.format(path="/docker/abc"), mount_v1())
    (root / "sys/fs/cgroup/cpu/docker/abc").mkdir(parents=True)
    folder = root / "sys/fs/cgroup/memory/docker"
    group_v1(folder / "abc", 4 * GIB, 3 * GIB, total_inactive_file=GIB, total_active_file=GIB // 2)
    group_v1(folder)
    group_v1(folder.parent)
    assert limits(root) == [v1("/docker/abc", 4 * GIB, 3 * GIB // 2)]


@pytest.mark.parametrize("leaf", [fake.UNLIMITED_V1, 8 * GIB])
def test_a_limit_above(tmp_path, leaf):
    root = fake.machine(tmp_path, V1_LINES.format(path="/pod/box"), mount_v1())
    group_v1(root / "sys/fs/cgroup/memory/pod/box", leaf, GIB, hierarchical_memory_limit=2 * GIB)
    group_v1(root / "sys/fs/cgroup/memory/pod", 2 * GIB, GIB)
    group_v1(root / "sys/fs/cgroup/memory")
    own = [v1("/pod/box", leaf, GIB)] if leaf == 8 * GIB else []
    assert limits(root) == [*own, v1("/pod", 2 * GIB, GIB)]


def test_high_slows_down_and_counts_as_a_limit(tmp_path):
    root = fake.machine(tmp_path, "0::/", mount_v2())
    group_v2(root / "sys/fs/cgroup", "max", GIB, high=3 * GIB)
    assert limits(root) == [v2("/", 3 * GIB, GIB, "memory.high")]


def test_hybrid_memory_is_where_version_1_has_it(tmp_path):
    mounts = mount_v1() + mount_v2(folder="/sys/fs/cgroup/unified")
    root = fake.machine(tmp_path, V1_LINES.format(path="/job") + "0::/other", mounts)
    group_v1(root / "sys/fs/cgroup/memory/job", 5 * GIB, GIB)
    (root / "sys/fs/cgroup/unified/other").mkdir(parents=True)
    assert limits(root) == [v1("/job", 5 * GIB, GIB)]


def test_hybrid_memory_is_in_version_2_where_version_1_has_it_not(tmp_path):
    mounts = mount_v1() + mount_v2(folder="/sys/fs/cgroup/unified")
    root = fake.machine(tmp_path, "3:cpu,cpuacct:/job\n1:name=memory:/no\n0::/job", mounts)
    group_v2(root / "sys/fs/cgroup/unified/job", 5 * GIB, GIB)
    group_v1(root / "sys/fs/cgroup/memory/job", GIB, GIB)
    assert limits(root) == [v2("/job", 5 * GIB, GIB)]


@pytest.mark.parametrize("path", ["/docker/abc", "/"])
def test_a_container_sees_its_own_group_as_the_top(tmp_path, path):
    """Without a namespace of its own it knows its path, and mounts what lies there; with one, the
    path is the root. What lies above is out of sight but for a number in version 1."""
    root = fake.machine(tmp_path, V1_LINES.format(path=path), mount_v1(path))
    top = root / "sys/fs/cgroup/memory"
    group_v1(top, 9 * GIB, GIB, hierarchical_memory_limit=6 * GIB)
    assert limits(root) == [v1(path, 6 * GIB, GIB)]


def test_groups_that_are_not_charged_for_those_below(tmp_path):
    root = fake.machine(tmp_path, V1_LINES.format(path="/a/b/c"), mount_v1())
    top = root / "sys/fs/cgroup/memory"
    group_v1(top / "a/b/c", 5 * GIB, GIB, use_hierarchy=0)
    group_v1(top / "a/b", 4 * GIB, GIB)
    group_v1(top / "a", 3 * GIB, GIB, use_hierarchy=0)
    assert limits(root) == [v1("/a/b/c", 5 * GIB, GIB), v1("/a/b", 4 * GIB, GIB)]


def test_names_with_spaces_and_colons(tmp_path):
    folder = r"/sys/fs/my\040group\134s"
    root = fake.machine(tmp_path, "0::/a b: 1/é", mount_v2(r"/a\040b:\0401", folder))
    group_v2(root / "sys/fs/my group\\s/é", 2 * GIB, GIB)
    assert limits(root) == [v2("/a b: 1/é", 2 * GIB, GIB)]


def test_a_group_that_has_been_deleted(tmp_path):
    root = fake.machine(tmp_path, "0::/gone (deleted)", mount_v2())
    group_v2(root / "sys/fs/cgroup/gone", 2 * GIB, GIB)
    assert limits(root) == [v2("/gone", 2 * GIB, GIB)]


def test_of_several_mounts_the_one_with_the_group(tmp_path):
    mounts = mount_v2("/other", "/elsewhere") + mount_v2("/job", "/empty") + mount_v2()
    root = fake.machine(tmp_path, "0::/job/one", mounts)
    (root / "empty").mkdir()
    group_v2(root / "elsewhere", GIB, 0)
    group_v2(root / "sys/fs/cgroup/job/one", 2 * GIB, GIB)
    assert limits(root) == [v2("/job/one", 2 * GIB, GIB)]


@pytest.mark.parametrize(
    ("path", "mount"),
    [("/../other", mount_v2()), ("/", mount_v2("/../..")), ("/job", mount_v2("/elsewhere"))],
)
def test_a_group_out_of_sight_is_named_and_the_mounted_one_taken(tmp_path, path, mount):
    root = fake.machine(tmp_path, f"0::{path}", mount)
    group_v2(root / "sys/fs/cgroup", 3 * GIB, GIB)
    group_v2(root / "sys/fs/other", GIB, GIB)
    unread, found = limits(root)
    assert unread == f"container limit {path} (cgroup v2, not mounted here)"
    assert (found.total, found.used) == (3 * GIB, GIB)


def test_nothing_mounted(tmp_path):
    root = fake.machine(tmp_path, V1_LINES.format(path="/job"), "")
    assert limits(root) == ["container limit /job (cgroup v1, not mounted here)"]


@pytest.mark.parametrize("cgroup", ["", "?\n::\n0:/a\n0::a\n4:memory\n", "1:name=systemd:/\n"])
def test_a_process_in_no_group(tmp_path, cgroup):
    assert limits(fake.machine(tmp_path, cgroup, mount_v1() + mount_v2())) == []


def test_no_proc_at_all(tmp_path):
    assert limits(tmp_path) == []


@pytest.mark.parametrize("file", ["memory.max", "memory.current"])
@pytest.mark.parametrize("content", ["", "12 GiB", "\x00\xff"])
def test_garbage_is_named(tmp_path, file, content):
    root = fake.machine(tmp_path, "0::/job", "- - -\n1 - 2\n" + mount_v2())
    group_v2(root / "sys/fs/cgroup/job", 2 * GIB, GIB)
    group_v2(root / "sys/fs/cgroup", 8 * GIB, GIB)
    (root / "sys/fs/cgroup/job" / file).write_bytes(content.encode("latin-1"))
    assert limits(root) == [
        "container limit /job (cgroup v2, memory.max)",
        v2("/", 8 * GIB, GIB),
    ]


@pytest.mark.parametrize("file", ["memory.max", "memory.current"])
def test_files_that_cannot_be_read_are_named(tmp_path, file):
    root = fake.machine(tmp_path, "0::/job", mount_v2())
    group_v2(root / "sys/fs/cgroup/job", 2 * GIB, GIB)
    (root / "sys/fs/cgroup/job" / file).unlink()
    (root / "sys/fs/cgroup/job" / file).mkdir()
    assert limits(root) == ["container limit /job (cgroup v2, memory.max)"]


def test_a_usage_without_its_file_is_named(tmp_path):
    root = fake.machine(tmp_path, "0::/job", mount_v2())
    group_v2(root / "sys/fs/cgroup/job", 2 * GIB, GIB)
    (root / "sys/fs/cgroup/job/memory.current").unlink()
    assert limits(root) == ["container limit /job (cgroup v2, memory.max)"]


def test_page_cache_that_cannot_be_told_counts_as_used(tmp_path):
    root = fake.machine(tmp_path, "0::/job", mount_v2())
    group_v2(root / "sys/fs/cgroup/job", 2 * GIB, GIB, inactive_file="?")
    assert limits(root) == [v2("/job", 2 * GIB, GIB)]


def test_page_cache_that_is_more_than_the_usage(tmp_path):
    """The numbers are not of one instant."""
    root = fake.machine(tmp_path, "0::/job", mount_v2())
    group_v2(root / "sys/fs/cgroup/job", 2 * GIB, GIB, inactive_file=GIB + 1)
    assert limits(root) == [v2("/job", 2 * GIB, 0)]
