"""The gate: who takes other steps is found, named, and does not keep the others from going on."""

import dataclasses
import re

import numpy as np
import pytest

from gpuopt.bench import gate as gates
from gpuopt.bench.candidates import Candidate, candidates
from gpuopt.bench.gate import Mismatch, gate
from gpuopt.bench.problem import RULES, Problem

SHAPES = [(33, 5), (10,), (2500,)]
ADAM = Problem("Adam", "some", SHAPES)


def adam(peers=("naive",), problem=ADAM):
    made, _ = candidates(problem, ["numpy"], list(peers))
    return made


def broken(candidate: Candidate, spoil) -> Candidate:
    """The same candidate, whose parameters are spoilt after each step."""

    def step() -> None:
        candidate.step()
        spoil(candidate.place)

    return dataclasses.replace(candidate, name="broken", step=step)


def test_differences_are_of_all_but_the_first_and_small():
    made = adam()
    found = gate(ADAM, made)
    assert list(found) == ["naive NumPy"]
    assert 0 < found["naive NumPy"] < 1e-8


def test_the_largest_difference_is_told():
    made = adam()

    def move(place) -> None:
        place.params[2][-1] += np.float32(2e-8)

    found = gate(ADAM, [*made, broken(adam_again(made), move)])
    assert 3e-8 < found["broken"] < 6e-8  # moved twice


def adam_again(made: list[Candidate]) -> Candidate:
    """Another NumPy step over the same memory."""
    from gpuopt.bench.peers import naive

    [again] = naive.candidates(made[0].place)
    assert isinstance(again, Candidate)
    return again


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("one element", lambda place: place.params[2].__setitem__(1234, 0.0)),
        ("a NaN", lambda place: place.params[1].__setitem__(0, np.nan)),
        ("the last element", lambda place: place.params[0].__setitem__((-1, -1), 0.5)),
        ("no step", lambda place: place.restart()),
    ],
)
def test_a_candidate_that_steps_otherwise_is_named_and_the_others_go_on(name, spoil, monkeypatch):
    monkeypatch.setattr(gates, "PIECE", 1000)  # several pieces
    made = adam()
    last = dataclasses.replace(adam_again(made), name="last")
    with pytest.raises(Mismatch, match=r"broken: \d+ of \d+ elements of") as error:
        gate(ADAM, [*made, broken(adam_again(made), spoil), last])
    assert list(error.value.failed) == ["broken"], name
    assert list(error.value.differences) == ["naive NumPy", "last"]


def test_a_candidate_that_raises_is_named():
    made = adam()

    def step() -> None:
        raise MemoryError("none left")

    bad = dataclasses.replace(made[1], name="bad", step=step)
    with pytest.raises(Mismatch, match="bad: MemoryError: none left"):
        gate(ADAM, [made[0], bad])


def two(problem: Problem = ADAM) -> list[Candidate]:
    """Two optimizers of NumPy's over the same memory, for one gate."""
    made, _ = candidates(problem, ["numpy", "numpy"], [])
    return [made[0], dataclasses.replace(made[1], name="other")]


def refuses(problem: Problem, spoil, first: bool) -> str:
    """What the gate says of the one of two whose parameters `spoil` changes after the last step."""
    steps = iter(range(1, 9))

    def after_the_last(place) -> None:
        if next(steps) == gates.STEPS.get(problem.rule, 2):
            spoil(place)

    one, other = two(problem)
    wrong = broken(one, after_the_last)
    with pytest.raises(Mismatch, match="broken: ") as error:
        gate(problem, [wrong, other] if first else [other, wrong])
    assert list(error.value.failed) == ["broken"]
    return str(error.value)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("piece", [100, 2499, 2500, 10**6])
@pytest.mark.parametrize("tensor", [0, 1, 2])
def test_a_last_element_that_is_another_is_found_in_every_tensor(tensor, piece, first, monkeypatch):
    """By the comparison of all elements, and where the first candidate errs by the formula's."""
    monkeypatch.setattr(gates, "PIECE", piece)

    def spoil(place) -> None:
        place.params[tensor].reshape(-1)[-1] *= np.float32(1.001)

    said = refuses(ADAM, spoil, first)
    assert re.search(rf": 1 of \d+ elements of parameter {tensor} took another step", said)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("rule", RULES)
def test_an_error_of_fifty_units_in_the_last_place_is_found(rule, dtype, first):
    problem = Problem(rule, "some", SHAPES, dtype)
    assert set(gate(problem, two(problem))) == {"other"}  # without it nothing is

    def spoil(place) -> None:
        for p in place.params:
            p += 50 * np.spacing(p)

    refuses(problem, spoil, first)


@pytest.mark.parametrize("rule", ["Adam", "RAdam", "NAdam", "Lion"])
def test_the_first_is_held_to_the_formula_and_never_becomes_the_reference(rule):
    problem = Problem(rule, "some", SHAPES)
    made = adam(("naive",) if rule == "Adam" else (), problem)
    wrong = broken(made[0], lambda place: place.params[2].__imul__(np.float32(1.001)))
    with pytest.raises(Mismatch) as error:
        gate(problem, [wrong, *made[1:]])
    assert list(error.value.failed) == ["broken"]


def test_other_betas_do_not_pass():
    """With the same gradients at every step they would."""
    made = adam()
    opt = adam_again(made)
    settings = dict(made[0].place.problem.settings, betas=(0.8, 0.999))
    from gpuopt.bench.peers.naive import Adam

    opts = [Adam(p, settings) for p in made[0].place.params]

    def step() -> None:
        for one, g in zip(opts, made[0].place.grads, strict=True):
            one.step(g)

    with pytest.raises(Mismatch, match="naive NumPy"):
        gate(ADAM, [made[0], dataclasses.replace(opt, step=step)])


def test_without_a_tolerance_no_parity_is_asked():
    made = adam()
    bad = dataclasses.replace(broken(made[1], lambda place: place.restart()), tolerance=None)
    assert gate(ADAM, [bad, made[0]]) == {}


def test_after_the_gate_all_is_as_before_the_first_step():
    made = adam()
    gate(ADAM, made)
    place = made[0].place
    for k, p in enumerate(place.params):
        np.testing.assert_array_equal(p.reshape(-1), place.start(k, 0, p.size))
    assert all((g > 0).all() for g in place.grads)
    assert not place.flat["m"].any()


def test_radam_is_followed_until_it_rectifies():
    """Its first five steps are Momentum's."""
    rule = Problem("RAdam", "one", [(1,)]).make_rule()
    used = [rule.scalars(1e-3, t)["rectified"] for t in range(1, gates.STEPS["RAdam"] + 1)]
    assert not used[4]
    assert used[-1]
