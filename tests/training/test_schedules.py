"""`--schedule`: the learning rate of every step, and texts that say none."""

import numpy as np
import pytest

from gpuopt.cli import main
from gpuopt.errors import InputError
from gpuopt.training.schedules import KINDS, schedule

LR, EPOCHS, PER_EPOCH = 0.2, 4, 10
STEPS = np.arange(1, EPOCHS * PER_EPOCH + 1)
EPOCH = (STEPS - 1) // PER_EPOCH + 1  # from 1, as in the course


def rates(text):
    f = schedule(text, LR, EPOCHS, PER_EPOCH)
    return [f(int(t)) for t in STEPS]


def half_cosine(t, length):
    return LR * (1 + np.cos(np.pi * t / length)) / 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inverse-time", LR / (1 + EPOCH)),
        ("inverse-time:0.5", LR / (1 + 0.5 * EPOCH)),
        ("exponential", LR * 0.95**EPOCH),
        ("exponential:0.5", LR * 0.5**EPOCH),
        ("sqrt", LR / np.sqrt(EPOCH)),
        ("sqrt:2", 2 * LR / np.sqrt(EPOCH)),
        ("staircase", LR + 0 * STEPS),
        ("staircase:0.1:2", np.where(EPOCH <= 2, LR, 0.1 * LR)),
        ("staircase:0.1:1", LR * 0.1 ** (EPOCH - 1.0)),
        ("linear", LR * (1 - STEPS / 40)),
        ("linear:0.5", LR * (1 - 0.5 * STEPS / 40)),
        ("cosine", half_cosine(STEPS, 40)),
        ("cosine:0.1", 0.1 * LR + 0.9 * half_cosine(STEPS, 40)),
        ("warmup-cosine", np.where(STEPS < 4, LR * STEPS / 4, half_cosine(STEPS - 4, 36))),
        ("Warmup-Cosine:0.25 ", np.where(STEPS < 10, LR * STEPS / 10, half_cosine(STEPS - 10, 30))),
        ("warmup-cosine:1", LR * STEPS / 40),
        ("wsd", LR * np.minimum(np.minimum(STEPS / 4, 1), (40 - STEPS) / 8)),
        ("wsd:0:0.5", LR * np.minimum(1, (40 - STEPS) / 20)),
    ],
)
def test_the_rate_of_every_step(text, expected):
    np.testing.assert_allclose(rates(text), expected, rtol=1e-12, atol=1e-15)


def test_one_cycle_goes_up_to_lr_and_down():
    found = rates("one-cycle")
    assert max(found) == pytest.approx(LR)
    peak = int(np.argmax(found))
    assert (np.diff(found)[:peak] > 0).all()
    assert (np.diff(found)[peak:] < 0).all()
    assert found[-1] < 1e-4 * LR


def test_the_course_s_table_of_inverse_time_decay():
    assert [round(rate, 3) for rate in rates("inverse-time:1")[::PER_EPOCH]] == [
        0.1,
        0.067,
        0.05,
        0.04,
    ]


NAMES = [written.partition(":")[0] for written in KINDS]


@pytest.mark.parametrize("text", [*NAMES, "wsd:0.5:0.5"])
@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 1), (2, 1), (1, 3)])
def test_short_runs_have_schedules_too(text, epochs, per_epoch):
    f = schedule(text, LR, epochs, per_epoch)
    assert all(0 <= f(t) <= LR for t in range(1, epochs * per_epoch + 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fast", "there is no schedule 'fast'; choose of inverse-time:RATE, exponential:RATE"),
        ("", "there is no schedule ''"),
        ("exponential:2", r"rate must be in \(0, 1\], got 2"),
        ("exponential:x", "'x' is not a number"),
        ("exponential:", "'' is not a number"),
        ("inverse-time:-1", "decay_rate must be finite and >= 0, got -1"),
        ("inverse-time:nan", "nan"),
        ("sqrt:1:2", "expected sqrt:K"),
        ("one-cycle:3", "expected one-cycle"),
        ("staircase:0.5:2.5", "every must be a whole number, got 2.5"),
        ("staircase:0.5:0", "every must be at least 1"),
        ("cosine:1.5", "a share must be from 0 to 1, got 1.5"),
        ("linear:-1", "a share must be from 0 to 1, got -1"),
        ("warmup-cosine:2", "a share must be from 0 to 1, got 2"),
        ("wsd:0.8:0.8", "a share must be from 0 to 1, got 1.6"),
        ("wsd:0.2:-0.1", "a share must be from 0 to 1, got -0.1"),
    ],
)
def test_a_text_that_says_no_schedule(text, words):
    with pytest.raises(InputError, match=f"--schedule {text}: .*{words}"):
        schedule(text, LR, EPOCHS, PER_EPOCH)


def test_the_command_says_so_before_it_reads_data(capsys):
    assert main(["train", "--schedule", "cosine:9", "--data", "none.npz"]) == 2
    assert "--schedule cosine:9: a share must be" in capsys.readouterr().err
