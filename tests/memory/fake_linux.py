"""A made-up machine below a folder: /proc and the files of control groups."""

from pathlib import Path

GIB = 2**30
UNLIMITED_V1 = 9223372036854771712  # what cgroup v1 says where there is no limit
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max data size             {data:<20} unlimited            bytes     
Max stack size            8388608              unlimited            bytes     
Max address space         {space:<20} unlimited            bytes     
"""  # noqa: W291


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{content}\n")


def machine(
    root: Path, cgroup: str = "", mountinfo: str = "", data="unlimited", space="unlimited"
) -> Path:
    """64 GiB of memory, 40 of them available; this process has taken 2 of data, 3 of addresses."""
    proc = root / "proc"
    memory = {"MemTotal": 64, "MemFree": 5, "MemAvailable": 40, "CommitLimit": 50}
    memory |= {"Committed_AS": 20}
    write(
        proc / "meminfo", "\n".join(f"{key}: {n * GIB // 1024:12} kB" for key, n in memory.items())
    )
    write(proc / "self/limits", LIMITS.format(data=data, space=space))
    write(proc / "self/status", "Name:\tpython\nVmSize:\t 3145728 kB\nVmData:\t 2097152 kB")
    write(proc / "self/cgroup", cgroup)
    write(proc / "self/mountinfo", MOUNTS + mountinfo)
    return root


MOUNTS = """\
22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
28 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
"""


def mount_v1(path: str = "/") -> str:
    return (
        f"34 31 0:30 {path} /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"35 31 0:32 {path} /sys/fs/cgroup/memory rw shared:15 master:3 - cgroup cgroup rw,memory\n"
    )


def mount_v2(path: str = "/", folder: str = "/sys/fs/cgroup") -> str:
    return f"41 31 0:38 {path} {folder} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"


def group_v1(folder: Path, limit: object = UNLIMITED_V1, used: object = 0, **more: object) -> None:
    """A group's files; `more`: lines of memory.stat, and use_hierarchy."""
    write(folder / "memory.limit_in_bytes", limit)
    write(folder / "memory.usage_in_bytes", used)
    write(folder / "memory.use_hierarchy", more.pop("use_hierarchy", 1))
    write(folder / "memory.stat", stat({"inactive_file": GIB} | more))


def group_v2(folder: Path, limit: object = "max", used: object = 0, **more: object) -> None:
    write(folder / "memory.max", limit)
    write(folder / "memory.high", more.pop("high", "max"))
    write(folder / "memory.current", used)
    write(folder / "memory.stat", stat(more))


def stat(lines: dict[str, object]) -> str:
    return "\n".join(f"{key} {value}" for key, value in {"anon": 12345, **lines}.items())
