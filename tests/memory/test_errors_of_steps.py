"""What a step raises for a mini-batch that fit chose is told with its size; its type stays."""

import traceback

import numpy as np
import pytest

from gpuopt import memory
from gpuopt.errors import add_note

X, Y = np.ones((400, 8), "f4"), np.zeros(400, int)
W, MASK = np.ones((8, 16), "f4"), np.ones((64, 16), bool)


class Odd(Exception):
    """One that pickle cannot make anew: it calls the class with the text alone."""

    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


def for_64(x, y):
    ((x @ W) * MASK).sum()


def key(x, y):
    raise KeyError(len(x))


def chained(x, y):
    try:
        {}["w"]
    except KeyError as error:
        raise LookupError("my own bug") from error


def odd(x, y):
    raise Odd(1, 2)


def labels(x, y):
    np.zeros((len(x), 10))[np.arange(len(x)), y[:, 0]]


@pytest.mark.parametrize("isolate", [True, False])
@pytest.mark.parametrize(
    ("step", "kind", "own"),
    [
        (for_64, ValueError, r"could not be broadcast together with shapes \(16,16\) \(64,16\)"),
        (key, KeyError, "16"),
        (chained, LookupError, "my own bug"),
        (odd, Odd, "1 and 2"),
        (labels, IndexError, "too many indices"),
    ],
)
def test_the_error_says_with_what_fit_called_the_step(step, kind, own, isolate):
    with pytest.raises(kind, match=own) as error:
        memory.fit(step, X, Y, budget="64MiB", isolate=isolate)
    said = "".join(traceback.format_exception(error.type, error.value, error.tb))
    assert "gpuopt.memory.fit called step with a mini-batch of 16 (shapes (16, 8), (16,))" in said
    assert "step must take mini-batches of any size" in said
    assert said.count("gpuopt.memory.fit called step") <= 2  # the child's traceback, and here
    (note,) = error.value.__notes__
    assert "mini-batch of 16" in note


def test_an_error_for_a_larger_mini_batch_names_that_one():
    def small_only(x, y):
        if len(x) > 40:
            raise ValueError("too many")

    with pytest.raises(ValueError, match="too many") as error:
        memory.fit(small_only, X, Y, isolate=False)
    assert "mini-batch of 48 (shapes (48, 8), (48,))" in error.value.__notes__[0]


def test_an_error_that_has_a_note_keeps_it():
    def noted(x, y):
        error = ValueError("wrong")
        add_note(error, "by me")
        raise error

    with pytest.raises(ValueError, match="wrong") as error:
        memory.fit(noted, X, Y)
    assert error.value.__notes__[0] == "by me"
    assert "mini-batch of 16" in error.value.__notes__[1]


def test_where_not_even_a_few_examples_fit_is_no_error_of_the_step():
    def greedy(x, y):
        raise MemoryError

    with pytest.raises(MemoryError, match="not even mini-batches of 2 to 4") as error:
        memory.fit(greedy, X, Y)
    assert not hasattr(error.value, "__notes__")


def test_lists_are_read_as_minibatches_reads_them():
    seen = []

    def step(x, y):
        seen.append((x.shape, y.shape))

    images = [np.zeros((3, 4)) for _ in range(40)]
    memory.fit(step, images, np.zeros(40), isolate=False)
    memory.fit(step, images, [np.zeros(3) for _ in range(40)], isolate=False, chunks=True)
    assert seen[0] == ((16, 3, 4), (16,))
    assert seen[-1][0][1:] == (4,)
    with pytest.raises(ValueError, match="chunks=False if each is one example"):
        memory.fit(step, images, isolate=False)


@pytest.mark.parametrize(
    "given", [{"batch_size": 10**20}, {"most": 2**63}, {"effective_batch": 10**400}]
)
def test_numbers_that_no_machine_has_are_refused(given):
    with pytest.raises(ValueError, match=r"must be at most 281474976710656 examples") as error:
        memory.fit(for_64, X, Y, **given)
    assert len(str(error.value)) < 500


def test_a_budget_beyond_all_numbers_of_the_system_is_no_limit():
    report = memory.fit(lambda x, y: x + 1, X, Y, budget=2**80, batch_size=64, verify=True)
    assert [run.passed for run in report.verified] == [True]
