"""For the tests of checkpoints: an optimizer with parameters of every kind, and files in parts."""

import json
import struct

import numpy as np

import gpuopt

SHAPES = {"w": (33, 7), "b": (), "e": (0, 3), "u": (40,), "z": (6,)}


def make(backend, cls=gpuopt.Adam, **options):
    """An optimizer with strided, 0-d, empty and complex parameters, and their memory."""
    rng = np.random.default_rng(1)
    p = {k: np.asarray(rng.normal(size=s), "f4") for k, s in SHAPES.items()}
    p["z"] = p["z"].astype("c16") * (1 + 2j)
    params = {k: backend.asarray(v) for k, v in p.items()}
    params["u"] = backend.asarray(p["u"][::2])
    params["w"] = backend.asarray(p["w"].T)
    return cls(params, backend=backend.name, **{"lr": 0.1, **options}), p


def run(opt, p, backend, first, last):
    """Steps with numbers first to last; u has no gradient before step 3."""
    for t in range(first, last):
        rng = np.random.default_rng(t)
        grads = {k: np.asarray(rng.normal(size=s), "f4") for k, s in SHAPES.items()}
        grads["z"] = grads["z"].astype("c16") * (2 - 1j)
        grads["u"] = grads["u"][::2] if t >= 3 else None
        grads["w"] = grads["w"].T
        opt.step({k: None if g is None else backend.asarray(g) for k, g in grads.items()})


def bits(opt, p, backend):
    found = {k: v.tobytes() for k, v in p.items()}
    for key, buffers in opt.state.items():
        for name, a in buffers.items():
            found[f"{key}/{name}"] = np.ascontiguousarray(backend.to_numpy(a)).tobytes()
    return found, opt.param_steps, opt.step_count


class NUMPY:
    """Like the fixture `backend`, for what is the same on every one of them."""

    name, asarray, to_numpy = "numpy", staticmethod(np.asarray), staticmethod(np.asarray)


def everything(opt, p, backend, rngs):
    """All that a load may change, in a form that can be compared."""
    groups = [(g.follows, sorted(g.items())) for g in opt.param_groups]
    states = {name: repr(rng.bit_generator.state) for name, rng in rngs.items()}
    counts = opt._stepper.settled_counts()
    carried = {k: v.tolist() for k, v in counts.carried.items()}
    return bits(opt, p, backend), opt.rule, groups, carried, counts.norm, states


def parts(path):
    """A file's header as a mapping, its description without the checksum that it names, and its
    data."""
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    about = json.loads(header["__metadata__"]["gpuopt"])
    about.pop("checksum", None)
    return header, about, raw[8 + size :]


def write(path, header, about, data):
    """A file of these parts, as older versions wrote it: without a checksum. `about` may be a text
    that is no JSON."""
    text = about if isinstance(about, str) else json.dumps(about)
    put(path, {**header, "__metadata__": {"gpuopt": text}}, data)


def put(path, header, data):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
