"""What somebody changes between two calls: settings, buffers, the memory of arrays."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import thinc.api as thincs
from thinc import optimizers

import gpuopt.thinc as ours
from tests.thinc.beside import KEY, ROUNDING, arrays

THINC_9 = hasattr(thincs, "Schedule")
LARGE_STEPS = {"rtol": 3e-5, "atol": 5e-5}  # rounding of steps that are larger than elsewhere
IN_GRADIENT: dict[str, Any] = {"L2": 0.1, "L2_is_weight_decay": False}


def constant(value: float) -> Any:
    """What Thinc keeps of a constant: a schedule since Thinc 9, before that the number."""
    return optimizers.Optimizer(value).learn_rate


def both(**given: Any) -> tuple[Any, Any]:
    return ours.Adam(0.1, **given), thincs.Adam(0.1, **given)


def call_both(opt: Any, theirs: Any, w: np.ndarray, q: np.ndarray, g: np.ndarray) -> None:
    opt(KEY, w, g.copy())
    theirs(KEY, q, g.copy())


@pytest.mark.parametrize("home", ["mom1", "mom2", "averages"])
@pytest.mark.parametrize("way", ["replaced", "written to"])
def test_buffers_are_taken_as_they_are_at_each_call(home: str, way: str) -> None:
    w, *grads = arrays(1, count=5)
    q = w.copy()
    opt, theirs = both()
    for t, g in enumerate(grads):
        if t == 2:
            other = np.abs(arrays(2)[0]) + 1
            getattr(theirs, home)[KEY] = other.reshape(getattr(theirs, home)[KEY].shape).copy()
            if way == "replaced":
                getattr(opt, home)[KEY] = other.copy()
            else:
                getattr(opt, home)[KEY][...] = other
        call_both(opt, theirs, w, q, g)
    np.testing.assert_allclose(w, q, **ROUNDING)
    for name in ("mom1", "mom2", "averages"):
        found, expected = getattr(opt, name)[KEY], getattr(theirs, name)[KEY]
        np.testing.assert_allclose(found.ravel(), expected.ravel(), **ROUNDING)


@pytest.mark.parametrize("home", ["mom1", "mom2", "averages"])
def test_dicts_that_were_replaced(home: str) -> None:
    """By empty ones: the buffer begins at zero again."""
    w, *grads = arrays(3, count=5)
    q = w.copy()
    opt, theirs = both()
    for t, g in enumerate(grads):
        if t == 2:
            setattr(opt, home, {})
            setattr(theirs, home, {})
        call_both(opt, theirs, w, q, g)
    np.testing.assert_allclose(w, q, **LARGE_STEPS)
    found, expected = getattr(opt, home)[KEY], getattr(theirs, home)[KEY]
    np.testing.assert_allclose(found.ravel(), expected.ravel(), **ROUNDING)


SETTINGS = {"learn_rate": 0.3, "L2": 0.5, "grad_clip": 0.01, "b1": 0.5, "b2": 0.6, "eps": 0.5}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_were_replaced(name: str) -> None:
    w, *grads = arrays(4, count=5)
    q, same = w.copy(), w.copy()
    opt, theirs = both(L2=0.1)
    unchanged = ours.Adam(0.1, L2=0.1)
    for t, g in enumerate(grads):
        if t == 2:
            setattr(opt, name, constant(SETTINGS[name]))
            setattr(theirs, name, constant(SETTINGS[name]))
        call_both(opt, theirs, w, q, g)
        unchanged(KEY, same, g.copy())
    np.testing.assert_allclose(w, q, **LARGE_STEPS)
    assert np.abs(w - same).max() > 1e-3, "the case must show the setting"


@pytest.mark.skipif(not THINC_9, reason="before Thinc 9 a constant is a number")
def test_a_constant_that_was_written_to() -> None:
    w, *grads = arrays(5, count=4)
    q = w.copy()
    opt, theirs = both()
    for t, g in enumerate(grads):
        if t == 2:
            for each in (opt, theirs):
                each.learn_rate.attrs["rate"] = 0.4
        call_both(opt, theirs, w, q, g)
    np.testing.assert_allclose(w, q, **ROUNDING)


@pytest.mark.parametrize("t", [10, 89_989, 89_990, 89_991, 10**6])
def test_an_average_moves_by_one_part_in_10000_at_least(t: int) -> None:
    """a <- a + (w - a) max(9 / (10 + t), 1e-4), which 9 / (10 + t) reaches at t = 89,990."""
    w, g = arrays(6, count=2)
    q = w.copy()
    opt, theirs = both()
    call_both(opt, theirs, w, q, g)
    for each in (opt, theirs):
        each.nr_update[KEY] = t - 1
        each.averages[KEY][...] = 100
    call_both(opt, theirs, w, q, g)
    gain = max(9 / (10 + t), 1e-4)
    moved = (opt.averages[KEY] - 100) / (w - 100.0)
    np.testing.assert_allclose(moved, gain, rtol=1e-3)  # of 100 in float32
    np.testing.assert_allclose(opt.averages[KEY], theirs.averages[KEY], rtol=3e-7)


def flat(w: np.ndarray) -> None:
    w.shape = (w.size,)


def grown(w: np.ndarray) -> None:
    w.resize((700, 370), refcheck=False)


def shrunk(w: np.ndarray) -> None:
    w.resize((3, 2), refcheck=False)


def elsewhere(w: np.ndarray) -> None:
    """The same shape, in other memory: an enlarged array cannot stay where it is."""
    values, shape = w.copy(), w.shape
    w.resize((4000, 1000), refcheck=False)
    w.resize(shape, refcheck=False)
    w[...] = values


@pytest.mark.parametrize("given", [{}, IN_GRADIENT], ids=["decoupled", "in the gradient"])
@pytest.mark.parametrize("change", [flat, elsewhere])
def test_weights_that_were_laid_out_anew_keep_their_state(change: Any, given: Any) -> None:
    """In place: it is the same array object that comes again."""
    w, *grads = arrays(7, count=5)
    w, q = w.copy(), w.copy()
    opt, expected = ours.Adam(0.1, **given), ours.Adam(0.1, **given)
    for t, g in enumerate(grads):
        if t == 2:
            change(w)
        opt(KEY, w, g.copy().reshape(w.shape))
        expected(KEY, q, g.copy())
    np.testing.assert_array_equal(w.ravel(), q.ravel())
    assert opt.nr_update == expected.nr_update


@pytest.mark.parametrize("change", [grown, shrunk])
def test_weights_of_another_size_are_refused_while_there_is_state(change: Any) -> None:
    w, g = (x.copy() for x in arrays(8, count=2))
    opt = ours.Adam(0.1)
    opt(KEY, w, g)
    change(w)
    refused(opt, w, np.ones_like(w), r"m of .*\(3, 'W'\).*resized, delete it")


@pytest.mark.parametrize("change", [grown, shrunk])
def test_weights_of_another_size_are_stepped_where_there_is_none(change: Any) -> None:
    w, g = (x.copy() for x in arrays(9, count=2))
    opt = ours.SGD(0.5, use_averages=False, grad_clip=0.0)
    opt(KEY, w, g)
    change(w)
    before = w.copy()
    opt(KEY, w, np.ones_like(w))
    np.testing.assert_allclose(w, before - 0.5, rtol=1e-6)


@pytest.mark.parametrize("home", ["mom1", "mom2", "averages"])
def test_a_buffer_that_was_resized_is_refused(home: str) -> None:
    w, g = arrays(10, count=2)
    opt = ours.Adam(0.1)
    opt(KEY, w, g.copy())
    getattr(opt, home)[KEY].resize(3, refcheck=False)
    refused(opt, w, g, r" of .*\(3, 'W'\).* has shape \(3,\)")


def read_only(a: np.ndarray) -> None:
    a.flags.writeable = False


@pytest.mark.parametrize("given", [{}, IN_GRADIENT], ids=["decoupled", "in the gradient"])
@pytest.mark.parametrize("what", ["weights", "gradient", "mom1", "mom2", "averages"])
def test_an_array_that_has_become_read_only_is_refused(what: str, given: Any) -> None:
    w, g = arrays(11, count=2)
    opt = ours.Adam(0.1, **given)
    opt(KEY, w, g)
    g += 1
    read_only({"weights": w, "gradient": g}[what] if what in "weights gradient" else
              getattr(opt, what)[KEY])  # fmt: skip
    named = "the gradient of " if what == "gradient" else ""
    refused(opt, w, g, rf"{named}.*\(3, 'W'\).* read-only")


def test_a_gradient_of_another_shape_is_told_the_weights() -> None:
    w, _ = arrays(12, count=2)
    for given in ({}, IN_GRADIENT):
        expected = r"the gradient of .*\(3, 'W'\).* has shape \(7, 1\), but .* has \(7, 37\)"
        refused(ours.Adam(0.1, **given), w, np.ones((7, 1), np.float32), expected)


def test_weights_without_axes() -> None:
    w, g = np.ones((), np.float32), np.full((), 0.5, np.float32)
    ours.SGD(0.1, grad_clip=0.0)(KEY, w, g)
    np.testing.assert_allclose([w, g], [0.95, 0])


def refused(opt: Any, w: np.ndarray, g: np.ndarray, message: str) -> None:
    """A call raises ValueError with this message, and changes nothing."""
    homes = [opt.mom1, opt.mom2, opt.averages]
    everything: Callable[[], list[Any]] = lambda: [  # noqa: E731
        w.tobytes(), g.tobytes(), dict(opt.nr_update),
        *({key: a.tobytes() for key, a in home.items()} for home in homes),
    ]  # fmt: skip
    before = everything()
    with pytest.raises(ValueError, match=message):
        opt(KEY, w, g)
    assert everything() == before


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Do work in threads that begin together."""
    begin = threading.Barrier(count)

    def run(k: int) -> None:
        begin.wait()
        work(k)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_on_one_key_lose_no_step() -> None:
    """A call is made or raises. Gradients of -1 and lr 1: the weights count the calls."""
    w, made, errors = np.zeros(300_000, np.float32), [], []
    opt = ours.SGD(1.0, grad_clip=0.0, use_averages=False)

    def work(k: int) -> None:
        for _ in range(20):
            try:
                opt(KEY, w, np.full_like(w, -1))
                made.append(k)
            except RuntimeError as error:
                errors.append(str(error))

    in_threads(3, work)
    assert len(made) + len(errors) == 60
    assert opt.nr_update == {KEY: len(made)}
    assert (w == len(made)).all()
    assert all("(3, 'W')" in error and "another thread" in error for error in errors)


def test_a_call_inside_a_call_on_the_same_key_is_refused() -> None:
    w, g = arrays(13, count=2)

    def rate(*args: Any, **about: Any) -> float:
        opt(KEY, w, g)
        return 0.1

    opt = ours.Adam(0.1)
    opt.learn_rate = rate  # pyright: ignore
    refused(opt, w, g, r"the numbers for \(3, 'W'\): another thread, or a schedule")


def test_threads_on_keys_of_their_own() -> None:
    w, *grads = arrays(14, 500, 6)
    alone, opt = ours.Adam(0.1), ours.Adam(0.1)
    expected, weights = w.copy(), [w.copy() for _ in range(3)]
    for g in grads:
        alone(KEY, expected, g.copy())

    def work(k: int) -> None:
        for g in grads:
            opt((k, "W"), weights[k], g.copy())

    in_threads(3, work)
    for k, found in enumerate(weights):
        np.testing.assert_array_equal(found, expected)
        assert opt.nr_update[k, "W"] == len(grads)
