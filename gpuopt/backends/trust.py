"""Whether another user could have written a file that is about to be run."""

import os
import stat
from pathlib import Path


def distrust(path: Path) -> str | None:
    """Why a user other than this one and root could have written what is at `path`; None if nobody
    could.

    `path` is a file or folder that exists, absolute and without links. It and every folder above it
    must belong to this user or to root, or its owner could put another in its place. Others must
    not be able to write to it, nor to a folder above it, unless that is sticky (as /tmp is, where
    only a file's owner can rename it). Raises OSError if it cannot be looked at.

    Always None on Windows, where a user's own folders are closed to others and modes say nothing.
    """
    if not hasattr(os, "geteuid"):
        return None
    found = path.lstat()
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to {path} (mode {stat.S_IMODE(found.st_mode):o})"
    for place in (path, *path.parents):
        found = place.lstat()
        if found.st_uid not in (0, os.geteuid()):
            return f"{place} belongs to user {found.st_uid}"
        if not found.st_mode & stat.S_ISVTX and others_may_write(found):
            return f"others may replace what is in {place} (mode {stat.S_IMODE(found.st_mode):o})"
    return None


def others_may_write(found: os.stat_result) -> bool:
    """Whether others than its owner may write to something. Many systems give each user a group of
    the same name, and write access to it: it has no other members."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not is_private_group(found.st_uid, found.st_gid)


def is_private_group(user: int, group: int) -> bool:
    import grp  # these two exist on POSIX systems only
    import pwd

    try:
        name, entry = pwd.getpwuid(user).pw_name, grp.getgrgid(group)
    except KeyError:  # without a name
        return False
    return entry.gr_name == name and set(entry.gr_mem) <= {name}
