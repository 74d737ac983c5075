"""bitsandbytes: state in 32 bits, and in 8 bits for tensors of 4096 elements and more."""

import functools
import inspect
from collections.abc import Iterator

from bitsandbytes import optim

from gpuopt.bench.candidates import Candidate, Skipped, candidate
from gpuopt.bench.peers.tensors import parameters, share
from gpuopt.bench.place import Place

# gpuopt's names of the buffers, and theirs.
KEYS = {
    "RMSprop": {"v": "state1"},
    "Adam": {"m": "state1", "v": "state2"},
    "AdamW": {"m": "state1", "v": "state2"},
    "Adagrad": {"v": "state1"},
    "Lion": {"m": "state1"},
}
WAITS = "waits for the GPU after each tensor"
ROUNDED = "8-bit state: no parity is to be had"


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    rule, dtype = place.problem.rule, place.problem.dtype
    if rule not in KEYS:
        why = "without momentum it has none" if rule == "SGD" else "it has none"
        yield Skipped("bitsandbytes", f"no {rule}: {why}")
        return
    if dtype == "float64":
        yield Skipped("bitsandbytes", "it has no kernels for float64")
        return
    for bits in (32, 8):
        make = getattr(optim, f"{rule}{bits}bit")
        known = inspect.signature(make).parameters
        settings = {name: x for name, x in place.problem.settings.items() if name in known}
        opt = make(parameters(place), **settings)
        if bits == 32:
            put = functools.partial(share, opt, place, KEYS[rule])
            yield candidate("bitsandbytes", place, opt.step, share=put, remark=WAITS)
        else:
            more = {"tolerance": None, "remark": f"{ROUNDED}; {WAITS}"}
            yield candidate("bitsandbytes 8-bit", place, opt.step, **more)
