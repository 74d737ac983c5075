"""bench/counts.py: loops in assembly, bytecodes of a call, and what is said of a baseline."""

import importlib
import json
import textwrap
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bench(monkeypatch):
    """The modules of bench/, by name: the folder is not installed."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"bench.{name}")


BRANCH = """
f:
    testq %rsi, %rsi
    jle .L4
    vbroadcastss (%rdx), %ymm1
.L0:
    xorl %eax, %eax
.L1:
    vmovups (%rdi,%rax), %ymm0
    vmulps 32(%rdi,%rax), %ymm0, %ymm2
    vptest %ymm2, %ymm2
    je .L2
    vsqrtps %ymm2, %ymm2
.L2:
    vmovups %ymm2, (%rcx,%rax)
    vmovups %ymm3, 64(%rsp)
    addq $32, %rax
    cmpq %rsi, %rax
    jne .L1
    decq %rbx
    jne .L0
.L4:
    retq
"""


def test_an_innermost_loop_with_a_branch_is_counted_whole(bench):
    (loop,) = bench("count_loops").loops(textwrap.dedent(BRANCH))
    assert loop == (10, 64, 32)


def test_a_second_loop_is_seen_and_a_loop_without_vectors_is_not(bench):
    twice = BRANCH + BRANCH.replace(".L", ".M")
    assert len(bench("count_loops").loops(twice)) == 2
    assert bench("count_loops").loops(BRANCH.replace("ymm", "rbx")) == []


@pytest.mark.parametrize(
    ("line", "moves"),
    [
        ("vmovups %zmm1, (%rax)", (0, 64)),
        ("vmovss (%rax), %xmm1", (4, 0)),
        ("vpmovzxwd (%rax), %ymm1", (16, 0)),
        ("vextracti128 $1, %ymm1, (%rax)", (0, 16)),
        ("vcvtps2ph $4, %ymm1, (%rax)", (0, 16)),
        ("vmovups %ymm1, 32(%rsp)", (0, 0)),
        ("vmulps .LC0(%rip), %ymm1, %ymm1", (0, 0)),
        ("addq (%rax), %rbx", (0, 0)),
    ],
)
def test_bytes_that_an_instruction_moves(bench, line, moves):
    assert bench("count_loops").moved([line]) == moves


def call(python, text, file=f"{ROOT}/gpuopt/invented.py"):
    """What `host` counts of f, which is compiled as if it stood in `file`, one of the library's."""
    names = {}
    exec(compile(textwrap.dedent(text), file, "exec"), names)
    return python.host(names["f"])


def test_a_python_loop_is_counted_exactly(bench):
    python = bench("count_python")
    text = "def f():\n    for k in range({}):\n        abs(k)\n"
    few, more, again = (call(python, text.format(n)) for n in (3, 13, 13))
    assert more == again
    bytecodes = more["bytecodes in gpuopt"] - few["bytecodes in gpuopt"]
    assert bytecodes > 0
    assert bytecodes % 10 == 0
    assert more["calls of C functions"] - few["calls of C functions"] == 10


def test_others_code_is_counted_by_itself(bench):
    found = bench("count_python").host(lambda: np.broadcast_to(0, (2,)))
    assert found["bytecodes in gpuopt"] == 0
    assert found["bytecodes in others' files"] > 10


@pytest.mark.parametrize(
    ("file", "ours"),
    [
        ("/home/ann/.cache/gpuopt/gpuopt_Adam_763602d306fe3c6e.py", True),
        ("<gpuopt_Adam_763602d306fe3c6e>", True),
        ("/home/ann/gpuopt_checkout/venv/lib/numpy/numeric.py", False),
    ],
)
def test_printed_modules_are_ours_and_what_lies_in_a_folder_called_so_is_not(bench, file, ours):
    found = call(bench("count_python"), "def f():\n    return 1 + 2\n", file)
    assert (found["bytecodes in gpuopt"] > 0) == ours
    assert (found["bytecodes in others' files"] > 0) != ours


def test_the_peak_is_that_of_the_call_alone(bench):
    array, kept = np.ones(1_000_000), []
    found = bench("count_python").peak(lambda: (array + 1, kept.append(0)))
    assert 8_000_000 <= found < 8_010_000


def found(number, **versions):
    row = {"case": "a step", "what": "calls", "count": number, "tolerance": 0}
    machine = {"architecture": "x", "versions": versions}
    return {"machine": machine, "rows": [], "counts": [row | {"depends": ["python"]}]}


@pytest.mark.parametrize(
    ("now", "version", "code", "said"),
    [
        (7, "3.11", 0, "1 the same"),
        (6, "3.11", 0, "better: a step: calls: 7, now 6"),
        (8, "3.11", 1, "WORSE: a step: calls: 7, now 8"),
        (8, "3.12", 0, "NOT COMPARED: 1 figures, for python is 3.12, was 3.11"),
    ],
)
def test_a_check_names_what_got_worse(bench, capsys, monkeypatch, now, version, code, said):
    counts = bench("counts")
    monkeypatch.setattr(counts, "missing", list)
    assert counts.check(found(7, python="3.11"), found(now, python=version)) == code
    out = capsys.readouterr().out
    assert said in out
    assert ("--write" in out) == bool(code)


@pytest.mark.parametrize(
    ("tools", "ci", "code"), [([], "", 1), (["g++"], "", 0), (["g++"], "1", 1)]
)
def test_a_figure_that_is_not_counted_fails_unless_a_tool_is_missing(
    bench, capsys, monkeypatch, tools, ci, code
):
    counts = bench("counts")
    monkeypatch.setattr(counts, "missing", lambda: tools)
    monkeypatch.setenv("CI", ci)
    assert counts.check(found(7), {**found(7), "counts": []}) == code
    assert "only in the baseline: a step: calls" in capsys.readouterr().out


def test_a_baseline_has_a_line_for_each_figure_and_reads_back(bench):
    counts, made = bench("counts"), found(7, python="3.11")
    made["counts"] *= 3
    text = counts.as_text(made)
    assert json.loads(text) == made
    assert text.count("\n") == 3 + 2
