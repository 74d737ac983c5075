"""Errors of loads and saves have one line of less than 500 characters, whatever the names are."""

import numpy as np
import pytest

import gpuopt
from tests.checkpoints import NUMPY, everything, parts, write
from tests.optional import optional

LONG = "x" * 10_000
QUOTES = "\"'" * 5_000
MANY = [f"layer {k}" for k in range(1_000)]
DEEP = [[]]
for _ in range(300):
    DEEP = [DEEP]


def make(*names, **options):
    p = {name: np.ones(2) for name in names}
    return gpuopt.Adam(p, backend="numpy", **options), p


def stepped(*names, **options):
    opt, p = make(*names, **options)
    opt.step({name: a + 1 for name, a in p.items()})
    return opt


def of_names(*names):
    return lambda: (make("w"), stepped(*names).state_dict())


def changed(**changes):
    return lambda: (make("w"), {**stepped("w").state_dict(), **changes})


def with_state(names, **state):
    return lambda: (make(*names), {**stepped(*names).state_dict(), "state": state})


def with_group(**changes):
    def build():
        saved = stepped("w").state_dict()
        return make("w"), {**saved, "groups": [{**saved["groups"][0], **changes}]}

    return build


CASES = {
    "names": of_names("w", *MANY),
    "long name": of_names("w", LONG),
    "quotes": of_names("w", QUOTES),
    "lines": of_names("w", "\n" * 1_000 + "\ud800" * 1_000),
    "lacks a long name": lambda: (make(LONG), stepped("w").state_dict()),
    "lacks quotes": lambda: (make(QUOTES), stepped("w").state_dict()),
    "lacks lines": lambda: (make("\n" * 10_000), stepped("w").state_dict()),
    "shape of a long name": with_state([LONG], **{LONG: {"step": 1, "m": np.ones(3), "v": LONG}}),
    "buffers": with_state(["w"], w={"step": 1, **dict.fromkeys(MANY)}),
    "version": changed(version=LONG),
    "step count": changed(step_count=MANY),
    "lr": changed(lr=LONG),
    "average": changed(average=MANY),
    "rule": changed(rule=MANY),
    "state": changed(state=MANY),
    "groups": changed(groups=LONG),
    "number of groups": changed(groups=MANY),
    "options": with_group(**dict.fromkeys(MANY)),
    "option": with_group(betas=MANY),
    "eps": with_group(eps=np.ones(10_000)),
    "deep": with_group(betas=DEEP),
}


@pytest.mark.parametrize("case", CASES)
def test_an_error_of_a_load_is_short_and_changes_nothing(case):
    (opt, p), saved = CASES[case]()
    before = everything(opt, p, NUMPY, {})
    with pytest.raises((KeyError, TypeError, ValueError)) as caught:
        opt.load_state_dict(saved)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
    assert everything(opt, p, NUMPY, {}) == before


IN_FILES = {
    "names": {"steps": dict.fromkeys(["w", *MANY], 0)},
    "long name": {"steps": {"w": 0, LONG: 0}},
    "lines": {"steps": {"w": 0, "\n" * 1_000 + "\ud800" * 1_000: 0}},
    "buffers": {"carried": {"w": dict.fromkeys(MANY, 0)}},
    "carried": {"carried": {LONG: MANY}},
    "lr": {"lr": LONG},
    "rule": {"rule": MANY},
    "average": {"average": DEEP},
    "group": {"groups": [DEEP]},
    "options": {"groups": [dict.fromkeys(MANY, 0)]},
    "generators": {"rngs": dict.fromkeys(MANY, 0)},
    "list of generators": {"rngs": MANY},
}


@pytest.mark.parametrize("case", IN_FILES)
def test_an_error_of_a_file_is_short_and_changes_nothing(case, tmp_path):
    optional("safetensors.numpy")
    path = tmp_path / LONG[:200]
    opt, p = make("w")
    opt.save(path)
    header, about, data = parts(path)
    write(path, header, {**about, **IN_FILES[case]}, data)
    before = everything(opt, p, NUMPY, {})
    with pytest.raises(ValueError, match=r"^/.*x: ") as caught:
        opt.load(path)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
    assert everything(opt, p, NUMPY, {}) == before


def test_an_error_says_how_many_names_are_left_out():
    opt, _ = make("w")
    with pytest.raises(ValueError, match=r"not here: \['layer 0', 'layer 1', .*\] and 995 more$"):
        opt.load_state_dict(stepped("w", *MANY).state_dict())


def generators(*names):
    return {name: np.random.default_rng(1) for name in names}


@pytest.mark.parametrize("names", [MANY, [LONG], [QUOTES], ["\n" * 10_000]])
def test_errors_of_generators_are_short(names, tmp_path):
    optional("safetensors.numpy")
    opt, path = stepped("w"), tmp_path / "state"
    opt.save(path, rngs=generators("a", *names))
    calls = [
        lambda: opt.load(path),
        lambda: opt.load(path, rngs=generators("b", *names)),
        lambda: opt.load(path, rngs=[generators(*names)]),
        lambda: opt.save(path, rngs=[generators(*names)]),
        lambda: opt.save(path, rngs={"a": names}),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError), match="rngs") as caught:
            call()
        assert len(str(caught.value)) < 500
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "value",
    [{1, LONG}, {LONG: {2: 0}}, np.ones((999, 9)), [DEEP, object()], {(): 0}, {QUOTES: {LONG}}],
    ids=range(6),
)
def test_an_error_of_what_cannot_be_saved_is_short(value, tmp_path):
    optional("safetensors.numpy")
    opt, _ = make("w")
    with pytest.raises(TypeError, match=r"extra, .* what JSON can hold") as caught:
        opt.save(tmp_path / "state", extra=value)
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_names_of_any_kind_are_saved_or_refused_in_one_line(tmp_path):
    optional("safetensors.numpy")
    for name in ("", "/", "a/p", "__metadata__", "\n", "ü", LONG, QUOTES, "\ud800"):
        opt, path = stepped(name), tmp_path / "state"
        path.unlink(missing_ok=True)
        try:
            opt.save(path, params=True)
        except OSError as error:
            text = str(error)
        else:
            text = ""
            fresh, _ = make(name)
            fresh.load(path)
            assert fresh.param_steps == {name: 1}
            np.testing.assert_array_equal(fresh.state[name]["m"], opt.state[name]["m"])
        assert bool(text) == (name == "\ud800")
        assert len(text) < 500
        assert text.isprintable()
