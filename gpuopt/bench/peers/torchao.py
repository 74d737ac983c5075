"""torchao: Adam and AdamW with 8-bit state for tensors of 4096 elements and more."""

from collections.abc import Iterator

from torchao import optim

from gpuopt.bench.candidates import Candidate, Skipped, candidate
from gpuopt.bench.peers.tensors import parameters
from gpuopt.bench.place import Place

REMARK = "8-bit state: no parity is to be had"
SHAPES = 12  # at most: torch.compile takes seconds for each


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    rule, settings = place.problem.rule, place.problem.settings
    if rule not in ("Adam", "AdamW"):
        yield Skipped("torchao", f"it has no {rule}")
        return
    if place.problem.dtype == "float64":
        yield Skipped("torchao", "it computes in float32")
        return
    shapes = len(set(place.problem.shapes))
    if shapes > SHAPES:
        yield Skipped("torchao", f"it would be compiled {shapes} times, for each shape once")
        return
    make = getattr(optim, f"{rule}8bit")
    names = ("lr", "betas", "eps", "weight_decay")
    opt = make(parameters(place), **{name: settings[name] for name in names})
    yield candidate("torchao 8-bit", place, opt.step, tolerance=None, remark=REMARK)
