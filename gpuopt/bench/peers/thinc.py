"""Thinc's optimizer: one call for each array, without clipping, decay and average."""

from collections.abc import Iterator
from typing import Any

from thinc.api import Optimizer

from gpuopt.bench.candidates import Candidate, Skipped, candidate
from gpuopt.bench.place import Place

REMARKS = {
    "SGD": "",
    "Adam": "; adds eps before bias correction",
    "AdamW": "; adds eps before bias correction and decays after the step",
}


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    rule, settings = place.problem.rule, place.problem.settings
    if rule not in REMARKS:
        why = "its RAdam counts from t = 2" if rule == "RAdam" else f"it has no {rule}"
        yield Skipped("Thinc", why)
        return
    if place.problem.dtype != "float32":
        yield Skipped("Thinc", "its weights and state are in float32")
        return
    beta1, beta2 = settings.get("betas", (0.0, 0.0))
    plain = {"grad_clip": 0.0, "use_averages": False}
    opt = Optimizer(
        settings["lr"],
        beta1=beta1,
        beta2=beta2,
        eps=settings.get("eps", 0.0),
        L2=settings["weight_decay"],
        **plain,
    )
    arrays: list[tuple[tuple[int, str], Any, Any, Any]] = [
        ((k, "W"), p, g, g.copy())
        for k, (p, g) in enumerate(zip(place.params, place.grads, strict=True))
    ]

    def step() -> None:
        with place.memory.device():
            for key, p, g, own in arrays:
                own[...] = g
                opt(key, p, own)

    def share() -> None:
        for name, home in (("m", opt.mom1), ("v", opt.mom2)):
            for (key, *_), buffer in zip(arrays, place.state.get(name, ()), strict=False):
                home[key] = buffer.reshape(-1)

    remark = f"zeroes gradients, so each call is given a copy, which is timed{REMARKS[rule]}"
    yield candidate("Thinc", place, step, share=share, remark=remark)
