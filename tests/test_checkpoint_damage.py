"""Files that are damaged, or of another optimizer: a load changes nothing and names the file."""

import json
import struct

import numpy as np
import pytest

from gpuopt import json_types
from tests.checkpoints import NUMPY, everything, make, parts, run, write
from tests.optional import optional

safetensors = optional("safetensors.numpy")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-1])


def edited(**changes):
    """Change the description in a file."""

    def edit(path):
        header, about, data = parts(path)
        write(path, header, {**about, **changes}, data)

    return edit


def described_by(text):
    def edit(path):
        header, _, data = parts(path)
        write(path, header, text, data)

    return edit


def with_tensors(**tensors):
    """Add tensors to a file, or put them in the place of those of the same name."""

    def edit(path):
        _, about, _ = parts(path)
        all_of_them = {**safetensors.load_file(path), **tensors}
        safetensors.save_file(all_of_them, path, metadata={"gpuopt": json.dumps(about)})

    return edit


def declared(name, **changes):
    """Change what the header says of a tensor."""

    def edit(path):
        header, about, data = parts(path)
        write(path, {**header, name: {**header[name], **changes}}, about, data)

    return edit


def twice(path):
    """Name a tensor without elements twice in the header, of which json keeps the last."""
    header, about, data = parts(path)
    write(path, header | {"E/m": header["e/m"]}, about, data)
    path.write_bytes(path.read_bytes().replace(b'"E/m"', b'"e/m"'))


def generators(seed):
    return {"data": np.random.default_rng(seed), "dropout": np.random.default_rng(seed + 1)}


def with_data_state(state):
    """Change the saved state of one of the generators."""
    return edited(rngs={"data": state, "dropout": json_types.random_state(np.random.default_rng())})


NAN = float("nan")
DAMAGE = {
    "truncated": (truncated, "this is no safetensors file"),
    "empty": (lambda path: path.write_bytes(b""), "this is no safetensors file"),
    "text": (lambda path: path.write_text("words" * 9), "this is no safetensors file"),
    "huge header": (
        lambda path: path.write_bytes(struct.pack("<Q", 2**40) + b" " * 99),
        "this is no safetensors file",
    ),
    "of someone else": (
        lambda path: safetensors.save_file({"0/m": np.zeros(3, "f4")}, path),
        "not written by gpuopt",
    ),
    "no JSON": (described_by('{"rule": '), "metadata are damaged"),
    "deep JSON": (described_by("[" * 10**5), "metadata are damaged"),
    "a list": (described_by("[]"), "metadata are no mapping"),
    "no steps": (described_by("{}"), "metadata are no mapping with step counts"),
    "newer": (edited(version=2), "version 2, of a newer gpuopt; this one knows .* 1, so upgrade"),
    "no version": (edited(version="1.0"), "version to load is '1.0'"),
    "rule": (edited(rule="AdamW"), "'AdamW', not 'Adam'"),
    "average": (edited(average=0.5), r"average=0\.5"),
    "NaN count": (edited(step_count=NAN), "step_count to load is nan"),
    "NaN rate": (edited(lr=NAN), "lr must be a number, got nan"),
    "groups": (edited(groups=3), "groups to load are 3, expected a list"),
    "no groups": (edited(groups=[]), "0 groups, not 1"),
    "group": (edited(groups=[7]), "group 0 is 7, expected a mapping"),
    "steps": (edited(steps={"w": 4}), r"params\['b'\] at step 0 has buffers"),
    "rngs": (edited(rngs={"dropout": 1}), r"random states were saved of \['dropout'\]"),
    "no mapping of rngs": (edited(rngs=[1]), r"the random states is \[1\], expected a mapping"),
    "rng": (with_data_state({"state": 1}), "the random state of 'data' is no state of PCG64"),
    "steps of a list": (edited(steps=[4]), "metadata are no mapping with step counts"),
    "carried": (edited(carried={"w": 3}), "what is carried for w is 3, expected a mapping"),
    "shape": (with_tensors(**{"w/m": np.zeros((7, 32), "f4")}), r"m of params\['w'\].*\(7, 32\)"),
    "dtype": (with_tensors(**{"w/v": np.zeros((7, 33))}), r"v of params\['w'\].*float64"),
    "integers": (declared("z/m", dtype="I64"), r"m of params\['z'\].*\(6, 2\) and dtype int64"),
    "unsigned": (declared("z/v", dtype="U64"), r"v of params\['z'\].*\(6, 2\) and dtype uint64"),
    "halves": (with_tensors(**{"z/m": np.zeros((6, 2), "f2")}), r"m of params\['z'\].*float16"),
    "integer": (declared("w/m", dtype="I32"), r"m of params\['w'\].*int32, expected .*float32"),
    "bfloat16": (
        declared("w/m", dtype="BF16", shape=[14, 33]),
        r"m of params\['w'\].*bfloat16, expected",
    ),
    "float8": (
        declared("w/m", dtype="F8_E4M3", shape=[28, 33]),
        "tensor 'w/m' has dtype 'F8_E4M3', which NumPy lacks",
    ),
    "float4": (
        declared("w/p", dtype="F4", shape=[56, 33]),
        "tensor 'w/p' has dtype 'F4', which NumPy lacks",
    ),
    "no dtype": (declared("w/m", dtype=None), "tensor 'w/m' has dtype None"),
    "shape of text": (declared("w/m", shape="ab"), "tensor 'w/m' has shape 'ab'"),
    "negative shape": (declared("w/m", shape=[-7, -33]), r"tensor 'w/m' has shape \[-7, -33\]"),
    "huge shape": (declared("w/m", shape=[2**70]), "tensor 'w/m' has shape"),
    "huge empty shape": (declared("e/m", shape=[2**62, 2**62, 0]), "cannot reshape array"),
    "many axes": (declared("b/m", shape=[1] * 99), "tensor 'b/m' has 99 axes"),
    "other size": (declared("w/m", shape=[7, 32]), "tensor 'w/m' has shape .* and 924 bytes"),
    "hole": (declared("b/m", data_offsets=[0, 4]), "tensor '.*' begins at byte"),
    "one offset": (declared("w/m", data_offsets=[0]), "tensor 'w/m' has shape"),
    "twice": (twice, r"names come twice: \['e/m'\]"),
    "more of a tensor": (declared("w/m", more=1), "tensor 'w/m' lacks one of dtype"),
    "data left": (
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        "no safetensors file.*its tensors",
    ),
    "complex": (with_tensors(**{"z/m": np.zeros((6, 3))}), r"m of params\['z'\].*\(6, 3\)"),
    "buffer": (with_tensors(**{"w/x": np.zeros(1)}), r"params\['w'\].*'x'"),
    "name": (with_tensors(m=np.zeros(1)), "parameters that are not here: \\[''\\]"),
    "parameter": (with_tensors(**{"w/p": np.zeros((7, 33))}), r"params\['w'\] to load .*float64"),
    "param": (with_tensors(**{"new/p": np.zeros(1)}), r"not here: \['new'\]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_cannot_be_loaded_changes_nothing_and_is_named(damage, tmp_path):
    change, words = DAMAGE[damage]
    path = tmp_path / "state.safetensors"
    opt, p = make(NUMPY)
    run(opt, p, NUMPY, 0, 4)
    opt.save(path, params=True, rngs=generators(1))
    change(path)
    fresh, q = make(NUMPY)
    run(fresh, q, NUMPY, 4, 6)
    rngs = generators(2)
    before = everything(fresh, q, NUMPY, rngs)
    with pytest.raises(ValueError, match=f"state.safetensors: .*{words}") as caught:
        fresh.load(path, rngs=rngs)
    assert everything(fresh, q, NUMPY, rngs) == before
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()
