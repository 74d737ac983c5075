"""Files of optimizer state: what is in them, and files that cannot be loaded."""

import re

import numpy as np
import pytest

import gpuopt
from tests import saved
from tests.checkpoints import NUMPY, bits, make, parts, run, write
from tests.optional import optional

safetensors = optional("safetensors.numpy")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def test_what_is_in_a_file(path):
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 2)
    opt.save(path, params=True, extra={"epoch": 3})
    header, about, _ = parts(path)
    names = {f"{k}/{x}" for k in "wbez" for x in "pmv"} | {"u/p"}  # u has no gradient yet
    assert set(header) == {"__metadata__", *names}
    assert re.fullmatch(r"crc32:[0-9a-f]{8}", header["__metadata__"]["checksum"])
    assert (about["version"], about["rule"], about["step_count"]) == (1, "Adam", 2)
    assert about["steps"] == {"w": 2, "b": 2, "e": 2, "u": 0, "z": 2}
    assert about["extra"] == {"epoch": 3}
    assert about["groups"][0]["betas"] == [0.9, 0.999]
    np.testing.assert_array_equal(safetensors.load_file(path)["w/p"], p["w"].T)


def test_tuples_come_back_as_lists(path):
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    opt.save(path, extra={"shape": (3, (4,)), np.str_("text"): 1})
    assert opt.load(path) == {"shape": [3, [4]], "text": 1}


def test_extra_and_generators_come_back(path):
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    rngs = {"data": np.random.default_rng(1), "dropout": np.random.Generator(np.random.MT19937(2))}
    extra = {"epoch": np.int64(3), "losses": [0.1, np.inf], "best": None, "note": "a\nb"}
    opt.save(path, rngs=rngs, extra=extra)
    expected = {name: rng.random(3).tolist() for name, rng in rngs.items()}
    assert opt.load(path, rngs=rngs) == {
        "epoch": 3,
        "losses": [0.1, np.inf],
        "best": None,
        "note": "a\nb",
    }
    assert {name: rng.random(3).tolist() for name, rng in rngs.items()} == expected
    one = {"dropout": rngs["dropout"]}
    opt.load(path, rngs=one)
    assert rngs["dropout"].random(3).tolist() == expected["dropout"]
    opt.load(path, rngs={})
    with pytest.raises(ValueError, match=r"saved of \['data', 'dropout'\], .* names \['x'\]"):
        opt.load(path, rngs={"x": rngs["data"]})
    opt.save(path)
    assert opt.load(path) is None


DEEP: list = []
for _ in range(10**5):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"params": 1}, TypeError, "params must be True or False, got 1"),
        ({"extra": {"rng": object()}}, TypeError, "extra, .* what JSON can hold.*got <object"),
        ({"extra": np.zeros(2)}, TypeError, "extra, .* what JSON can hold"),
        ({"extra": {1: "a", "1": "b"}}, TypeError, "extra, .* mappings of text; got the key 1,"),
        ({"extra": [({"a": {None: 0}},)]}, TypeError, "extra, .* got the key None"),
        ({"extra": DEEP}, TypeError, "extra, .* what JSON can hold"),
        ({"extra": "x" * 10**8}, OSError, "cannot be written: .*header too large"),
        ({"rngs": np.random.default_rng(1)}, TypeError, "rngs must map names .*got Generator"),
        ({"rngs": {"a": np.random.PCG64(1)}}, TypeError, "rngs must map names .*got 'a': <"),
        ({"rngs": {1: np.random.default_rng(1)}}, TypeError, "rngs must map names .*got 1: "),
    ],
)
def test_what_cannot_be_saved_raises_and_leaves_the_old_file(options, error, words, path):
    opt = gpuopt.SGD(np.ones(3), lr=1, backend="numpy")
    path.write_text("old")
    with pytest.raises(error, match=words):
        opt.save(path, **options)
    assert [(x.name, x.read_text()) for x in path.parent.iterdir()] == [(path.name, "old")]


def test_parameters_are_not_saved_while_they_are_averages(path):
    opt = gpuopt.SGD(np.ones(3), lr=1, average=0.5, backend="numpy")
    with opt.averages():
        opt.save(path)
        with pytest.raises(RuntimeError, match="hold their averages"):
            opt.save(path, params=True)


def test_a_file_that_an_earlier_version_wrote_without_a_checksum():
    opt, params = saved.optimizer()
    rngs = saved.generators()
    assert opt.load(saved.WITHOUT_CHECKSUM, rngs=rngs) == saved.EXTRA
    assert (opt.param_steps, opt.step_count) == (saved.STEPS, 5)
    assert [group["lr"] for group in opt.param_groups] == [0.25, 0.5]
    assert [g["lr"] for g in opt.param_groups] == [0.25, 0.5]
    again, expected = saved.optimizer()
    saved.train(again, expected)
    for key, values in expected.items():
        eps = np.finfo(values.dtype).eps
        np.testing.assert_allclose(params[key], values, rtol=32 * eps)
        for name, buffer in again.state[key].items():
            np.testing.assert_allclose(opt.state[key][name], buffer, rtol=1e-5, err_msg=name)
    for name, rng in saved.generators().items():
        assert rngs[name].random(2).tolist() == rng.random(5).tolist()[3:]
    saved.train(opt, params)
    saved.train(again, expected)
    np.testing.assert_allclose(params["w"], expected["w"], rtol=1e-5)


def test_a_file_of_version_0_which_had_no_number(path):
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 4)
    opt.save(path)
    header, about, data = parts(path)
    for name in ("version", "rngs", "extra"):
        del about[name]
    write(path, header, about, data)
    fresh, _ = make(NUMPY)
    assert fresh.load(path) is None
    assert bits(fresh, p, NUMPY) == bits(opt, p, NUMPY)
