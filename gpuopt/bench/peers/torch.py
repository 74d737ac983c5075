"""torch.optim at each of its settings: a loop over the tensors, foreach, and fused where it is."""

import functools
import inspect
from collections.abc import Iterator

import torch

from gpuopt.bench.candidates import Candidate, Skipped, candidate
from gpuopt.bench.peers.tensors import parameters, share
from gpuopt.bench.place import Place
from gpuopt.torch import optimizers as keyed

KINDS = {
    "for-loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
# Kept and rounded in 16 bits, v is off by one part in 256, or in 2048, a step.
TOLERANCES = {"bfloat16": 0.05, "float16": 0.02}
IN_FLOAT32 = {"NAdam": "the product of mu", "ASGD": "eta and mu"}  # whatever the parameters' dtype


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    rule, dtype = place.problem.rule, place.problem.dtype
    make = getattr(torch.optim, rule, None)
    if make is None:
        yield Skipped("torch", f"torch.optim has no {rule}")
        return
    known = inspect.signature(make).parameters
    settings = {name: x for name, x in place.problem.settings.items() if name in known}
    keys = getattr(keyed, rule).keys.buffers
    more = {}
    if dtype in TOLERANCES:
        more = {"tolerance": TOLERANCES[dtype], "remark": f"keeps its state in {dtype}"}
    elif dtype == "float64" and rule in IN_FLOAT32:
        more = {"tolerance": 1e-6, "remark": f"keeps {IN_FLOAT32[rule]} in float32"}
    for kind, flags in KINDS.items():
        if kind == "fused" and kind not in known:
            yield Skipped("torch fused", f"torch.optim.{rule} has no such setting")
            continue
        flags = {name: x for name, x in flags.items() if name in known}
        opt = make(parameters(place), **settings, **flags)
        put = functools.partial(share, opt, place, keys)
        yield candidate(f"torch {kind}", place, opt.step, share=put, **more)
