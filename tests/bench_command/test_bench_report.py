"""The tables of `gpuopt bench`, from results made by hand."""

from io import StringIO

import pytest
from rich.console import Console

from gpuopt.bench import report
from tests.bench_command.bench_handmade import row, times


def text(rows, width=200):
    console = Console(width=width, record=True, highlight=False, file=StringIO())
    for title, tables in report.tables(rows, width):
        console.print(title)
        for table in tables:
            console.print(table)
    return console.export_text()


def test_a_line_says_time_throughput_and_ratio():
    printed = text([row(10**6, gpuopt_numba=0.002, torch_fused=0.005, naive_NumPy=0.1)])
    assert printed.startswith("one tensor, cpu\n")
    line = printed.splitlines()[-1].split()
    assert line == ["Adam", "2", "ms", "500", "M", "14", "1", "1.25", "2.5x", "50x"]


NEAR = {"gpuopt_numba": 0.002, "limit,_copy": 0.0018, "limit,_triad": 0.0016}


def test_the_limit_is_a_share_or_a_question_mark():
    near = row(10**6, **NEAR)
    assert "80 %" in text([near])
    above = row(10**6, gpuopt_numba=0.002, **{"limit,_copy": 0.00205})
    assert text([above]).splitlines()[-1].split()[6] == "?"
    assert "limit" not in text([row()])


def test_what_fits_in_the_l2_says_so_in_place_of_a_limit():
    cached, large = row(10**5, device="cuda:0"), row(10**8, device="cuda:0", **NEAR)
    lines = text([{**cached, "in_l2": True}, {**large, "in_l2": False}]).splitlines()
    assert "in L2" in lines[-2]
    assert "in L2" not in lines[-1]
    assert "80 %" in lines[-1]


def test_noise_is_said_from_five_percent_on():
    quiet = row()
    assert "noise" not in text([quiet])
    quiet["times"]["gpuopt numba"] = times(0.002, 0.31)
    assert "31 %" in text([quiet])


def test_one_table_for_single_tensors_of_all_sizes_and_one_for_each_list():
    rows = [row(10**6), row(1000), row(10**6, 10), row(101_770, 4, name="MLP 784-128-10")]
    titles = [title for title, _ in report.tables(rows, 200)]
    assert titles == [
        "one tensor, cpu",
        "equal tensors, cpu",
        "MLP 784-128-10: 4 tensors, 101,770 parameters, cpu",
    ]
    lines = text(rows).splitlines()
    assert lines[2].split()[:2] == ["rule", "size"]
    assert [line.split()[1] for line in lines[4:6]] == ["1e3", "1e6"]


def test_only_columns_that_tell_lines_apart_are_shown():
    header = text([row(dtype="float32"), row(dtype="float64")]).splitlines()
    assert any("dtype" in line for line in header)
    assert not any("size" in line or "backend" in line for line in header)
    both = row(gpuopt_numba=0.1, gpuopt_numpy=0.2)
    assert "backend" in text([both])


def test_a_gpu_has_tables_of_its_own_with_and_without_copies():
    rows = [row(device="cuda:0"), row(device="cuda:0", copies=True)]
    titles = [title for title, _ in report.tables(rows, 200)]
    assert titles == ["one tensor, cuda:0", "one tensor, cuda:0, with copies to and from the host"]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_nothing_is_cut_off_in_a_narrow_terminal(width):
    peers = ("torch for-loop", "torch foreach", "torch fused", "Thinc", "optax", "naive NumPy")
    seconds = {name.replace(" ", "_"): 0.01 * k for k, name in enumerate(peers, 1)}
    narrow = text([row(gpuopt_numba=0.002, **seconds)], width)
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines())) <= width
    assert sum(word[0].isdigit() and word.endswith("x") for word in narrow.split()) == len(peers)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.5e-6, "1.5 µs"),
        (9.994e-4, "999 µs"),
        (9.996e-4, "1 ms"),
        (0.25, "250 ms"),
        (2.5, "2.5 s"),
    ],
)
def test_times_have_the_unit_that_suits_them(seconds, words):
    assert report.readable(seconds) == words


def test_numbers_have_three_digits():
    assert [report.quantity(x) for x in (12.0, 1.5e3, 2.34e6, 9.9999e8, 1e10)] == [
        "12", "1.5 k", "2.34 M", "1 G", "10 G",
    ]  # fmt: skip
    assert [report.times(x) for x in (0.8712, 12.34, 1714.3)] == ["0.871x", "12.3x", "1714x"]
    assert [report.digits(x) for x in (999.4, 999.6, 3984.2)] == ["999", "1000", "3984"]
