"""Which rows a benchmark has, on which devices, and whether they fit in memory."""

import pytest

from gpuopt import backends
from gpuopt.bench import rows
from gpuopt.bench.settings import Settings, sizes
from gpuopt.errors import InputError
from gpuopt.memory.budget import given


def settings(text="1e3,mlp", **more):
    return Settings(sizes=sizes(text, "1"), **more)


@pytest.fixture
def gpu(monkeypatch):
    """A machine on which all backends run."""
    monkeypatch.setattr(backends, "unavailable", lambda name: None)


@pytest.fixture
def no_gpu(monkeypatch):
    why = "CuPy is not installed"
    monkeypatch.setattr(backends, "unavailable", lambda n: why if n in backends.GPU else None)


def test_every_rule_with_every_size_and_dtype():
    wanted = settings(rules=("Adam", "SGD"), dtypes=("float32", "float64"))
    found = [rows.case(problem) for problem in rows.problems(wanted, ["cpu"])]
    assert found[:2] == ["Adam float32, one tensor of 1e3", "Adam float64, one tensor of 1e3"]
    assert len(found) == len(set(found)) == 8


def test_by_default_adam_at_all_sizes_and_every_rule_at_one():
    found = rows.problems(Settings(), ["cpu"])
    at_adam = [p.list for p in found if p.rule == "Adam"]
    assert at_adam[:6] == [f"one tensor of 1e{k}" for k in range(3, 9)]
    assert set(at_adam[6:]) == set(rows.LISTS.values())
    others = {p.rule: p.list for p in found if p.rule != "Adam"}
    assert len(others) == 12
    assert set(others.values()) == {"one tensor of 1e7"}


def test_quick_has_few_rows_and_what_says_most_comes_first():
    found = rows.problems(Settings(quick=True), ["cpu"])
    assert rows.case(found[0]) == "Adam float32, one tensor of 1e6"
    assert len(found) < 12


def test_copies_are_rows_of_their_own_on_a_gpu_only():
    found = rows.problems(settings("1e3", copies=True), ["cpu", "cuda:0"])
    assert [rows.case(p) for p in found] == [
        "Adam float32, one tensor of 1e3",
        "Adam float32, one tensor of 1e3, cuda:0",
        "Adam float32, one tensor of 1e3, cuda:0, with copies",
    ]


@pytest.mark.usefixtures("gpu")
def test_the_best_backend_of_each_device_unless_named():
    assert rows.places(settings()) == {"cpu": ["numba"], "cuda:0": ["cupy"]}
    assert rows.places(settings(device="cuda:1")) == {"cuda:1": ["cupy"]}
    assert rows.places(settings(device="cpu")) == {"cpu": ["numba"]}
    assert rows.places(settings(backends=("numpy", "numba"))) == {"cpu": ["numpy", "numba"]}
    assert rows.places(settings(backends=("numba-cuda",))) == {"cuda:0": ["numba-cuda"]}


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_the_cpu_alone():
    assert rows.places(settings()) == {"cpu": ["numba"]}
    with pytest.raises(InputError, match="--device cuda: CuPy is not installed; use --device cpu"):
        rows.places(settings(device="cuda"))


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"device": "gpu"}, "--device gpu: must be auto, cpu, cuda or cuda:<number>"),
        ({"device": "cuda:x"}, "--device cuda:x: must be"),
        ({"device": "cpu", "backends": ("cupy",)}, "--backends cupy does not run on cpu; there is"),
        ({"device": "cuda", "backends": ("numba",)}, "--backends numba does not run on cuda"),
    ],
)
def test_a_device_that_cannot_be_meant(more, words):
    with pytest.raises(InputError, match=words):
        rows.places(settings(**more))


def test_what_a_row_needs_grows_with_width_and_peers():
    (adam,) = rows.problems(settings("1e3"), ["cpu"])
    assert rows.needed(adam, peers=False) == 1000 * (16 + 2 * 4 + 28)  # p, g, m, v; copies; moved
    assert rows.needed(adam, peers=True) == 1000 * (5 * 16 + 2 * 4 + 28)
    (half,) = rows.problems(settings("1e3", dtypes=("float16",)), ["cpu"])
    assert rows.needed(half, peers=False) == 1000 * (12 + 2 * 2 + 22)


def test_what_is_copied_for_the_limit_does_not_grow_for_ever():
    (large,) = rows.problems(settings("1e9"), ["cpu"])
    assert rows.needed(large, peers=False) == 10**9 * 24 + 2**29


def test_what_the_user_asked_for_and_does_not_fit_is_refused_with_a_way_out(monkeypatch):
    monkeypatch.setattr(rows, "budget", lambda device: given("60kB"))
    wanted = rows.problems(settings("1e3"), ["cpu"])
    with pytest.raises(InputError) as raised:
        rows.fitting(wanted, peers=True, given=True)
    assert "one tensor of 1e3: may take 113.3 KiB with peers, and there is" in str(raised.value)
    assert "give --peers none, which takes 50.8 KiB, or a smaller size" in str(raised.value)


def test_default_rows_that_do_not_fit_are_left_out_and_said(monkeypatch):
    monkeypatch.setattr(rows, "budget", lambda device: given("60kB"))
    wanted = rows.problems(settings("100,1e3"), ["cpu"])
    keep, skipped = rows.fitting(wanted, peers=True, given=False)
    assert [p.list for p in keep] == ["one tensor of 100"]
    assert [x["what"] for x in skipped] == ["Adam float32, one tensor of 1e3"]
