"""The clock on the CPU, with a time of its own."""

import pytest

from gpuopt.bench import clock


class Time:
    """Goes on only when a candidate runs."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, []

    def perf_counter(self) -> float:
        return self.now

    def candidate(self, name: str, seconds: float):
        def run() -> None:
            self.log.append(name)
            self.now += seconds

        return run


@pytest.fixture
def fake(monkeypatch):
    time = Time()
    monkeypatch.setattr(clock, "time", time)
    return time


def test_candidates_take_turns_and_each_turn_begins_untimed(fake):
    candidates = {"a": fake.candidate("a", 0.03), "b": fake.candidate("b", 0.5)}
    found = clock.interleave(candidates, rounds=2, each=3)
    assert found == {"a": [pytest.approx(0.03)] * 6, "b": [pytest.approx(0.5)] * 6}
    assert "".join(fake.log) == ("aa" + "aaa" + "b" + "bbb") * 3  # a takes two to fill 0.05 s


def test_the_first_round_is_not_counted(fake):
    runs = iter([7.0] * 3 + [1.0] * 6)

    def run() -> None:
        fake.now += next(runs)

    assert clock.interleave({"a": run}, rounds=2, each=2, settle=0.01) == {"a": [1.0] * 4}


def test_what_is_done_before_a_step_is_not_timed(fake):
    before = fake.candidate("-", 100.0)
    found = clock.interleave({"a": fake.candidate("a", 1.0)}, 1, 2, before)
    assert found == {"a": [1.0, 1.0]}
    assert "".join(fake.log) == "-a" * 6


def test_without_settling(fake):
    clock.interleave({"a": fake.candidate("a", 1.0)}, 1, 1, settle=0)
    assert fake.log == ["a"] * 2


def test_summary():
    found = clock.summary([1.0, 2.0, 3.0, 4.0, 100.0, 6.0, 7.0])
    assert found == {"median": 4.0, "q1": 2.0, "q3": 7.0, "noise": 1.25, "count": 7}


@pytest.mark.parametrize("seconds", [[], [1.0], [1.0, 1.0]])
def test_noise_cannot_be_told_of_fewer_than_three_times(seconds):
    with pytest.raises(ValueError, match=f"need 3 times or more, got {len(seconds)}"):
        clock.summary(seconds)
