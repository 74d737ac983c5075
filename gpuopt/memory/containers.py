"""The memory limits of the containers around this process: Linux control groups, versions 1 and 2.

Memory is charged to the group of a process and to every group above it, so each one's limit counts.
Page cache does not: the kernel drops it before it refuses memory. Swap is not counted. Sources:
admin-guide/cgroup-v1/memory.rst and admin-guide/cgroup-v2.rst in the documentation of Linux, and
the manual pages cgroups(7), cgroup_namespaces(7) and proc_pid_mountinfo(5).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gpuopt.memory.limits import Limit, text

NONE = 2**60  # version 1 gives a larger number where there is no limit


class Version(NamedTuple):
    """What a version of control groups calls its files."""

    name: str
    filesystem: str
    limits: tuple[str, ...]
    used: str
    cache: tuple[str, ...]  # in memory.stat: what can be had back, of the groups below as well


V1 = Version(
    "cgroup v1",
    "cgroup",
    ("memory.limit_in_bytes",),
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
V2 = Version(
    "cgroup v2",
    "cgroup2",
    ("memory.max", "memory.high"),  # above `high` the process is slowed down to a crawl
    "memory.current",
    ("inactive_file", "active_file", "slab_reclaimable"),
)
MOUNT = re.compile(r"^\d+ \d+ \S+ (\S+) (\S+) .* - (\S+) \S+ (\S+)$", re.MULTILINE)


class Group(NamedTuple):
    """A control group: its path in the hierarchy, and the folder with its files."""

    path: PurePosixPath
    folder: Path


def container_limits(root: Path) -> Iterator[Limit | str]:
    """The limits of the group of this process and of those above it; a text alone names one that
    cannot be read."""
    found = own_group(text(root / "proc/self/cgroup"))
    if found is None:
        return
    version, path = found
    mounts = mounted(text(root / "proc/self/mountinfo"), version, root)
    groups = next((groups for mount in mounts if (groups := chain(path, mount))), None)
    if groups is None:
        yield f"container limit {path} ({version.name}, not mounted here)"
        groups = mounts[:1]  # one above it, in all likelihood
    for k, group in enumerate(groups):
        if k and text(group.folder / "memory.use_hierarchy").strip() == "0":
            break  # in version 1 a group may be charged without the groups below it
        yield from limits_of(group, version, topmost=group is groups[-1])


def own_group(cgroup: str) -> tuple[Version, PurePosixPath] | None:
    """The version that counts memory, and the group of this process: from /proc/self/cgroup."""
    found = {}
    for line in cgroup.split("\n"):
        number, _, rest = line.removesuffix(" (deleted)").partition(":")
        controllers, _, path = rest.partition(":")
        if path.startswith("/"):
            version = V1 if "memory" in controllers.split(",") else V2 if number == "0" else None
            found[version] = PurePosixPath(path)
    return next(((version, found[version]) for version in (V1, V2) if version in found), None)


def mounted(mountinfo: str, version: Version, root: Path) -> list[Group]:
    """The highest groups in sight: from /proc/self/mountinfo."""
    return [
        Group(PurePosixPath(unescaped(path)), root / unescaped(folder).lstrip("/"))
        for path, folder, filesystem, options in MOUNT.findall(mountinfo)
        if filesystem == version.filesystem and (version is V2 or "memory" in options.split(","))
    ]


def unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def chain(path: PurePosixPath, top: Group) -> list[Group]:
    """The group at `path` and those above it up to `top`; none if it does not lie there."""
    if ".." in path.parts or not path.is_relative_to(top.path):  # `..`: outside of the namespace
        return []
    below = path.relative_to(top.path)
    groups = [Group(top.path / part, top.folder / part) for part in (below, *below.parents)]
    return groups if os.path.isdir(groups[0].folder) else []


def limits_of(group: Group, version: Version, topmost: bool) -> Iterator[Limit | str]:
    stat = dict(re.findall(r"^(\w+) (\d+)$", text(group.folder / "memory.stat"), re.MULTILINE))
    for file in version.limits:
        if not os.path.exists(group.folder / file):
            continue  # groups need not have any; the first of all never has
        name = f"container limit {group.path} ({version.name}, {file})"
        try:
            written = (group.folder / file).read_text().strip()
            total = NONE if written == "max" else int(written)
            if topmost and version is V1:  # what lies above, out of sight, counts as well
                total = min(total, int(stat.get("hierarchical_memory_limit", NONE)))
            if total < NONE:
                used = int((group.folder / version.used).read_text())
                cache = sum(int(stat.get(line, 0)) for line in version.cache)
                yield Limit(name, total, max(0, used - cache))
        except (OSError, ValueError):
            yield name
