"""Who could have written a file: modes, owners, and the folders above it."""

import os
from types import SimpleNamespace

import pytest

from gpuopt.backends import trust
from gpuopt.backends.trust import distrust

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="POSIX systems have modes")


@pytest.fixture
def folder(tmp_path):
    """above/folder, with a file in it, for this user alone."""
    found = tmp_path.resolve() / "above" / "folder"
    found.mkdir(parents=True)
    (found / "file").write_text("")
    for path in (found / "file", found, found.parent):
        path.chmod(0o700)
    assert distrust(found / "file") is None
    return found


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777, 0o1777])
@pytest.mark.parametrize("name", ["", "file"])
def test_others_may_not_write_to_it(folder, name, mode):
    (folder / name).chmod(mode)
    assert f"others may write to {folder / name} (mode {mode:o})" == distrust(folder / name)


@pytest.mark.parametrize("name", [".", "folder", "folder/file"])
def test_another_user_may_not_own_it_nor_a_folder_above_it(folder, name, monkeypatch):
    path = folder.parent / name
    lstat = trust.Path.lstat

    def owned(self):
        found = lstat(self)
        return SimpleNamespace(st_mode=found.st_mode, st_uid=54321) if self == path else found

    monkeypatch.setattr(trust.Path, "lstat", owned)
    assert distrust(folder / "file") == f"{path} belongs to user 54321"


@pytest.mark.parametrize(("mode", "trusted"), [(0o777, False), (0o1777, True), (0o755, True)])
def test_others_may_not_replace_what_is_above_it(folder, mode, trusted):
    folder.parent.chmod(mode)
    reason = distrust(folder / "file")
    assert reason == (
        None if trusted else f"others may replace what is in {folder.parent} (mode 777)"
    )


@pytest.mark.parametrize(
    ("group", "members", "trusted"),
    [
        ("ann", [], True),
        ("ann", ["ann"], True),
        ("ann", ["bob"], False),
        ("users", [], False),
        (None, [], False),
    ],
)
def test_a_folder_above_may_be_open_to_the_users_own_group(
    folder, monkeypatch, group, members, trusted
):
    import grp
    import pwd

    def getgrgid(number):
        if group is None:
            raise KeyError(number)
        return SimpleNamespace(gr_name=group, gr_mem=members)

    monkeypatch.setattr(pwd, "getpwuid", lambda number: SimpleNamespace(pw_name="ann"))
    monkeypatch.setattr(grp, "getgrgid", getgrgid)
    folder.parent.chmod(0o770)
    assert (distrust(folder / "file") is None) == trusted


def test_root_is_trusted(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert distrust(trust.Path("/")) is None
