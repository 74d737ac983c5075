"""Mini-batches that go on inside an epoch, from a state in JSON's types."""

import json

import numpy as np
import pytest

import gpuopt

X = np.arange(50)


def chunks():
    yield X[:20]
    yield X[20:23]
    yield X[23:]


KINDS = {"arrays": X, "list": [X[:20], X[20:]], "arriving": chunks}
GENERATORS = [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64]


def make(kind="arrays", seed=3, bits=np.random.PCG64, **changes):
    options = {"batch_size": 8, "rng": np.random.Generator(bits(seed)), **changes}
    return gpuopt.minibatches(KINDS[kind], **options)


def epochs(batches, count):
    return [[x.tolist() for x in batches] for _ in range(count)]


def resumed(batches, **changes):
    """Other mini-batches, in the state of these."""
    fresh = make(seed=99, **changes)
    fresh.load_state_dict(json.loads(json.dumps(batches.state_dict())))
    return fresh


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", GENERATORS)
@pytest.mark.parametrize("stop", [0, 1, 5, 7])
def test_what_comes_next_is_what_would_have_come(kind, bits, stop):
    expected = epochs(make(kind, bits=bits), 4)
    batches = make(kind, bits=bits)
    epochs(batches, 1)
    loop = iter(batches)
    begun = [next(loop).tolist() for _ in range(stop)]
    fresh = resumed(batches, kind=kind, bits=bits)
    again = resumed(fresh, kind=kind, bits=bits)
    assert expected[0] == epochs(make(kind, bits=bits), 1)[0]
    for other in (fresh, again):
        assert [begun + epochs(other, 1)[0], *epochs(other, 2)] == expected[1:]


def test_after_a_loop_that_ended_comes_a_new_epoch():
    expected = epochs(make(), 3)
    batches = make()
    epochs(batches, 1)
    assert epochs(resumed(batches), 2) == expected[1:]
    assert epochs(resumed(make()), 3) == expected


def test_after_the_last_batch_but_inside_the_loop_nothing_remains():
    batches = make()
    for _ in batches:
        fresh = resumed(batches)
    assert epochs(fresh, 2) == [[], *epochs(batches, 1)]


def test_after_a_loop_that_was_left_early_comes_the_rest():
    batches = make()
    begun = []
    for x in batches:
        begun.append(x.tolist())
        if len(begun) == 2:
            break
    assert begun + epochs(resumed(batches), 1)[0] == epochs(make(), 1)[0]


def test_a_generator_that_others_draw_from_as_well():
    """The order of an epoch was drawn at its beginning, whatever was drawn since then."""

    def run(batches, kept, loop):
        for x in loop:
            kept.append((x.tolist(), batches.rng.random()))

    batches, expected = make(), []
    run(batches, expected, batches)
    run(batches, expected, batches)
    batches, found = make(), []
    for x in batches:
        found.append((x.tolist(), batches.rng.random()))
        if len(found) == 3:
            break
    fresh = resumed(batches)
    run(fresh, found, fresh)
    run(fresh, found, fresh)
    assert found == expected


def test_the_generator_that_was_given_is_set():
    batches, rng = make(), np.random.default_rng(8)
    epochs(batches, 1)
    fresh = make(rng=rng)
    fresh.load_state_dict(batches.state_dict())
    assert rng.random() == batches.rng.random()


def test_behind_prefetch_the_loop_says_how_many_batches_it_has_used():
    """Without a GPU nothing is read ahead, so here it is read ahead by hand."""
    batches = make()
    loop = iter(batches)
    used = [next(loop).tolist() for _ in range(2)]
    next(loop)
    fresh = make(seed=99)
    fresh.load_state_dict(batches.state_dict(done=2))
    assert used + epochs(fresh, 1)[0] == epochs(make(), 1)[0]
    list(loop)
    fresh.load_state_dict(batches.state_dict(done=6))
    assert epochs(fresh, 1)[0] == epochs(make(), 1)[0][6:]
    for done in (-1, 8):
        with pytest.raises(ValueError, match=f"done is {done}, but 7 batches of the epoch were"):
            batches.state_dict(done=done)
    with pytest.raises(ValueError, match="done is 1, but 0 batches"):
        make().state_dict(done=1)


def test_before_the_first_loop_no_batch_is_done():
    batches = make()
    assert batches.state_dict(done=0)["epoch"] is None
    fresh = make(seed=99)
    fresh.load_state_dict(batches.state_dict(done=0))
    assert epochs(fresh, 2) == epochs(make(), 2)


def changed(name, value):
    def change(saved):
        saved[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (changed("batch_size", 9), ValueError, "with batch_size=9, and these .* batch_size=8"),
        (changed("count", 51), ValueError, "with count=51, and these .* count=50"),
        (changed("shuffle", False), ValueError, "with shuffle=False"),
        (changed("drop_last", True), ValueError, "with drop_last=True"),
        (lambda saved: saved.pop("rng"), ValueError, "lacks rng"),
        (changed("rng", None), ValueError, "the state to load is no state of PCG64"),
        (changed("rng", {"bit_generator": "PCG64"}), ValueError, "no state of PCG64"),
        (changed("rng", np.random.MT19937(1).state), ValueError, "no state of PCG64"),
        (lambda saved: saved["epoch"].update(done=-1), ValueError, "done .* at least 0, got -1"),
        (lambda saved: saved["epoch"].update(done=8), ValueError, "done .* is 8, of 7 batches"),
        (lambda saved: saved["epoch"].pop("done"), ValueError, "epoch .* expected None or a map"),
        (lambda saved: saved["epoch"].pop("drawn_in"), ValueError, "epoch .* expected None or"),
        (changed("epoch", 3), ValueError, "epoch in the state to load is 3, expected None or a"),
        (lambda saved: saved["epoch"].update(done=1.5), ValueError, "done .* whole .*, got 1.5"),
        (lambda saved: saved["epoch"].update(drawn_in={}), ValueError, "no state of PCG64"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, error, words):
    batches = make()
    next(iter(batches))
    saved = batches.state_dict()
    change(saved)
    fresh = make(seed=4)
    next(iter(fresh))
    before = fresh.state_dict()
    with pytest.raises(error, match=words):
        fresh.load_state_dict(saved)
    assert fresh.state_dict() == before
