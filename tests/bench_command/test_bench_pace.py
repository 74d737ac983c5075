"""How many rounds there is time for, and the guesses of how long it takes; by a clock of ours."""

import pytest

from gpuopt.bench.clock import LEAST, SETTLE
from gpuopt.bench.pace import MOST_EACH, ROUNDS, Pace
from gpuopt.bench.progress import Guess, Lines
from gpuopt.bench.rows import problems
from gpuopt.bench.settings import Settings, sizes
from gpuopt.bench.timetable import QUICK_IN_ALL, SECONDS, Timetable, Trial

TRIAL = Trial(compiling=5.0, rate=1e10, candidates=10)


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def timetable(text="1e3,1e4", rules=("Adam",), quick=False, repeat=None, reserved=0.0):
    wanted = problems(Settings(sizes=sizes(text, "1"), rules=rules), ["cpu"])
    clock = Clock()
    more = {"quick": quick, "repeat": repeat, "reserved": reserved}
    return Timetable(wanted, TRIAL, **more, start=100.0, clock=clock), clock


def test_short_steps_are_taken_many_times_in_a_turn_and_long_ones_once():
    assert Pace(20.0).turns([1e-6] * 5)[1] == MOST_EACH
    assert Pace(20.0).turns([1e-3] * 5)[1] == 20
    assert Pace(20.0).turns([1.0] * 5)[1] == 1


def test_as_many_rounds_as_there_is_time_for_within_bounds():
    step = 0.5  # a turn is one step untimed and one counted
    assert Pace(8.0).turns([step])[0] == 7
    assert Pace(0.0).turns([step])[0] == LEAST
    assert Pace(1000.0).turns([step])[0] == ROUNDS


def test_rounds_that_were_asked_for_have_times_enough_for_quartiles():
    assert Pace(1000.0, repeat=1).turns([10.0]) == (1, LEAST)
    assert Pace(0.0, repeat=25).turns([10.0]) == (25, 1)


def test_the_first_row_of_another_rule_takes_longer_for_it_is_compiled():
    table, _ = timetable(rules=("Adam", "SGD"))
    adam, adam_again, sgd, sgd_again = table.guesses()
    assert adam_again < adam < sgd  # the trial has compiled Adam's step, but no limit
    assert sgd - sgd_again == pytest.approx(2 * TRIAL.compiling, rel=0.01)
    assert table.total() == pytest.approx(adam + adam_again + sgd + sgd_again)


def test_without_quick_every_row_has_its_full_time_however_late_it_is():
    table, clock = timetable()
    clock.now += 10_000
    assert table.pace(1) == Pace(SECONDS, None, SETTLE)


def test_quick_shares_what_is_left_and_leaves_out_what_has_no_time():
    table, clock = timetable("1e3,1e4,1e5,1e6", quick=True, reserved=5.0)
    assert table.pace(0).seconds == pytest.approx(4.0)
    clock.now += QUICK_IN_ALL - 5 - 9
    few = table.pace(1)
    assert 0 < few.seconds < 4.0
    clock.now += 9
    assert table.pace(2) is None


def test_quick_measures_its_first_row_in_any_case():
    table, clock = timetable(quick=True)
    clock.now += 2 * QUICK_IN_ALL
    assert table.pace(0).seconds == 0.0


def test_a_guess_is_corrected_by_how_it_goes():
    clock = Clock()
    guess = Guess(clock)
    assert guess.left(0.0, 0.0) == ""
    assert guess.left(0.0, 60.0) == "60 s left"
    clock.now += 60  # twice as long as was guessed for half of it
    assert guess.left(0.5, 60.0) == "45 s left"
    assert guess.left(0.0, 600.0) == "10 min left"


def test_plain_lines_name_every_row_once(capsys):
    lines = Lines(Clock())
    lines("a short trial", 0.0, 0.0)
    for part in ("making arrays", "timing"):
        lines(f"1 of 2: Adam float32, one tensor of 1e3 | {part}", 0.0, 60.0)
    lines("2 of 2: SGD float32, one tensor of 1e3 | timing", 0.5, 60.0)
    err = capsys.readouterr().err.splitlines()
    assert err == [
        "a short trial",
        "1 of 2: Adam float32, one tensor of 1e3 (60 s left)",
        "2 of 2: SGD float32, one tensor of 1e3 (15 s left)",
    ]
