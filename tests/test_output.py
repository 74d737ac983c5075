"""Files that commands write: whole or not there, through links, and into pipes."""

import json
import os
import stat
import threading

import pytest

from gpuopt.commands.output import write_json, written
from gpuopt.errors import InputError

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX only")


@posix
def test_a_link_stays_and_leads_to_what_was_written(tmp_path):
    file, link = tmp_path / "folder" / "found.json", tmp_path / "link.json"
    file.parent.mkdir()
    file.write_text("old")
    file.chmod(0o640)
    link.symlink_to("folder/found.json")
    write_json(link, {"a": 1})
    assert link.is_symlink()
    assert json.loads(file.read_text()) == {"a": 1}
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@posix
def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    write_json(pipe, {"a": 1})
    reader.join()
    assert json.loads(found[0]) == {"a": 1}
    assert pipe.is_fifo()


def fail(path, error):
    with written("--plot", path) as target:
        target.write_text("half")
        raise error


@pytest.mark.parametrize("before", [{}, {"x.png": "old"}])
def test_what_fails_leaves_what_was_there(before, tmp_path):
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    path = tmp_path / "x.png"
    with pytest.raises(InputError) as caught:
        fail(path, OSError(28, "No space left on device"))
    assert str(caught.value) == f"--plot {path} cannot be written: No space left on device"
    with pytest.raises(ValueError, match="a bug"):
        fail(path, ValueError("a bug"))
    assert {x.name: x.read_text() for x in tmp_path.iterdir()} == before
