"""Thinc's optimizer: one call for each array, without clipping, schedules and average."""

from collections.abc import Iterator
from typing import Any

from thinc.api import Optimizer

from gpuopt.bench.candidates import Candidate, Skipped, candidate
from gpuopt.bench.place import Place

COPIED = "zeroes gradients, so each call is given a copy, which is timed"
EARLY_EPS = f"{COPIED}; adds eps before bias correction"
REMARKS = {"SGD": COPIED, "Adam": EARLY_EPS, "AdamW": f"{EARLY_EPS}; decays after the step"}


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    if place.problem.rule == "RAdam":
        yield Skipped("Thinc", "its RAdam counts from t = 2")
    else:
        yield called("Thinc", place, Optimizer, REMARKS)


def called(
    name: str, place: Place, make: type[Optimizer], remarks: dict[str, str]
) -> Candidate | Skipped:
    """An optimizer with Thinc's interface, called as a model of Thinc calls it. remarks: for each
    rule that it has."""
    rule, settings = place.problem.rule, place.problem.settings
    if rule not in remarks:
        return Skipped(name, f"Thinc has no {rule}")
    if place.problem.dtype != "float32":
        return Skipped(name, "Thinc's weights and state are in float32")
    beta1, beta2 = settings.get("betas", (0.0, 0.0))
    opt = make(
        settings["lr"],
        beta1=beta1,
        beta2=beta2,
        eps=settings.get("eps", 0.0),
        L2=settings["weight_decay"],
        L2_is_weight_decay=rule == "AdamW",
        use_radam=rule == "RAdam",
        grad_clip=0.0,
        use_averages=False,
    )
    pairs = zip(place.params, place.grads, strict=True)
    with place.memory.device():
        arrays: list[Any] = [((k, "W"), p, g, g.copy()) for k, (p, g) in enumerate(pairs)]

    def step() -> None:
        with place.memory.device():
            for key, p, g, own in arrays:
                own[...] = g
                opt(key, p, own)

    def share() -> None:
        for name, home in (("m", opt.mom1), ("v", opt.mom2)):
            for (key, *_), buffer in zip(arrays, place.state.get(name, ()), strict=False):
                home[key] = buffer.reshape(-1)

    return candidate(name, place, step, share=share, remark=remarks[rule])
