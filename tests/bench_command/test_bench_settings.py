"""What the options of `gpuopt bench` mean, and one line for what they cannot mean."""

import numpy as np
import pytest

from gpuopt.bench import settings
from gpuopt.errors import InputError


def test_sizes_are_numbers_and_names_of_lists():
    found = settings.sizes("1e3, MLP,small500,1000", "1")
    assert [size.name for size in found] == [
        "one tensor of 1e3",
        "MLP 784-128-10",
        "500 tensors of 256",
    ]
    assert [size.parameters for size in found] == [1000, 101_770, 128_000]


def test_numbers_are_cut_into_equal_tensors_and_lists_are_not():
    found = settings.sizes("1000,mlp", "1,3")
    names = ["one tensor of 1e3", "1e3 in 3 tensors", "MLP 784-128-10"]
    assert [size.name for size in found] == names
    assert found[1].shapes == [(334,), (333,), (333,)]


def test_tensors_alone_cut_a_million():
    assert settings.sizes(None, "1") is None
    assert [size.name for size in settings.sizes(None, "1,10")] == [
        "one tensor of 1e6",
        "1e6 in 10 tensors",
    ]


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (1, "1"),
        (1000, "1e3"),
        (2_500_000, "2.5e6"),
        (3 * 10**8, "3e8"),
        (1234, "1234"),
        (999, "999"),
    ],
)
def test_numbers_in_short(n, words):
    assert settings.short(n) == words


def test_names_in_any_case_and_all_of_them():
    assert settings.rule_names("adam,SGD,Adam") == ("Adam", "SGD")
    assert len(settings.rule_names("all")) == 13
    assert settings.rule_names(None) is None
    assert settings.peer_names("none") == ()
    assert "gpuopt.torch" in settings.peer_names("all")
    assert settings.backend_names("auto") == ()
    assert settings.backend_names("NumPy") == ("numpy",)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: settings.rule_names("Adm"), "--rules Adm: there is no 'Adm'; choose of SGD,"),
        (lambda: settings.sizes("1e3,big", "1"), "'big' is no whole number from 1 to 1e12 or one"),
        (lambda: settings.sizes("0.5", "1"), "--sizes 0.5: '0.5' is no whole"),
        (lambda: settings.sizes("nan", "1"), "--sizes nan: 'nan' is no whole"),
        (lambda: settings.sizes("1000.5", "1"), "--sizes 1000.5: '1000.5' is no whole"),
        (lambda: settings.sizes("10", "11"), "10 elements cannot be cut into more parts than 10"),
        (lambda: settings.sizes("1e7", "1e6"), "--tensors 1e6: '1e6' is no whole number from 1 to"),
        (lambda: settings.dtype_names("int8"), "--dtypes int8: there is no 'int8'"),
        (lambda: settings.peer_names("apex"), "--peers apex: there is no 'apex'"),
        (lambda: settings.backend_names("cuda"), "--backends cuda: there is no 'cuda'"),
        (lambda: settings.Settings(repeat=0), "--repeat 0: must be a number of rounds from 1"),
        (lambda: settings.Settings(seed=-1), "--seed -1: must be at least 0"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(ask, words):
    with pytest.raises(InputError) as raised:
        ask()
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_backend_that_cannot_run_is_named_with_the_reason(monkeypatch):
    monkeypatch.setattr(settings.backends, "unavailable", lambda name: "it is not there")
    with pytest.raises(InputError, match="--backends numba: it is not there; leave numba out"):
        settings.backend_names("numba")


def test_parts_add_up_whatever_they_are():
    rng = np.random.default_rng(0)
    for total, parts in rng.integers(1, 1000, (20, 2)):
        (size,) = settings.cut([int(total + parts)], [int(parts)])
        assert size.parameters == total + parts
        assert len(size.shapes) == parts
        lengths = [n for (n,) in size.shapes]
        assert max(lengths) - min(lengths) <= 1
