"""The command line: help, version, streams, and life without its packages."""

import subprocess
import sys

import pytest

import gpuopt
from gpuopt.cli import main

COMMANDS = ("train", "fit", "average", "surfaces", "info", "selftest", "bench")


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"gpuopt {gpuopt.__version__}\n"


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(args, capsys):
    assert main(args) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command, capsys):
    assert main([command, "--help"]) == 0
    assert "--json" in capsys.readouterr().out


def quick(*more):
    return ["train", "--device", "cpu", "--epochs", "1", "--hidden", "8", "--no-plot", *more]


def test_the_table_goes_to_stdout_and_nothing_to_a_stderr_that_is_no_terminal(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "gpuopt", *quick()], capture_output=True, text=True, cwd=tmp_path
    )
    assert run.returncode == 0
    assert run.stderr == ""
    for word in ("gradient descent", "momentum", "RMSprop", "Adam", "test accuracy"):
        assert word in run.stdout
    assert "\x1b" not in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 80
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_the_progress_bar_is_on_stderr_when_that_is_a_terminal(tmp_path):
    import os
    import pty

    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "gpuopt", *quick("--optimizer", "adam", "--epochs", "30")],
        stdout=subprocess.PIPE,
        stderr=follower,
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm"},
    ) as run:
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 4096)
            except OSError:  # Linux's end of file on a pseudo-terminal
                part = b""
            if not part:
                break
            shown += part
        out = run.communicate()[0]
    os.close(leader)
    assert run.returncode == 0
    assert b"steps, loss" in shown
    assert b"steps, loss" not in out


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_typer_or_rich_one_line_says_what_to_install(package, monkeypatch, capsys):
    for name in [n for n in sys.modules if n.startswith("gpuopt.commands")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["selftest"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert 'pip install "gpuopt[cli]"' in err


@pytest.mark.parametrize(
    ("package", "args", "way_out"),
    [("sklearn", [], "--data FILE"), ("matplotlib", ["--plot", "x.png"], "--no-plot")],
)
def test_without_a_package_for_train_the_line_says_how_to_do_without(
    package, args, way_out, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name in [package, *(n for n in sys.modules if n.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["train", "--device", "cpu", *(args or ["--no-plot"])]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "gpuopt[cli]" in err
    assert way_out in err
    assert not list(tmp_path.iterdir())


def test_interrupting_is_one_line(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("gpuopt.training.progress.run_all", interrupt)
    assert main(quick()) == 130
    err = capsys.readouterr().err
    assert err.lstrip("\n") == "gpuopt: interrupted\n"  # older typers end the line of "^C" first
