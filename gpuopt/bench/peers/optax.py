"""optax under jax.jit, with parameters and state donated; its arrays are its own.

On the CPU only: on a GPU jax has streams of its own, which the other candidates' clock cannot see.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import optax

from gpuopt.bench.candidates import Candidate, Skipped, candidate
from gpuopt.bench.place import Place

OWN = "works in arrays of its own"
# The transformation that takes gpuopt's steps, from gpuopt's settings, and what is to be said.
Make = Callable[..., Any]
MADE: dict[str, tuple[Make, str]] = {
    "SGD": (lambda lr, **_: optax.sgd(lr), ""),
    "Momentum": (
        lambda lr, beta, **_: optax.chain(optax.ema(beta, debias=False), optax.scale(-lr)),
        "",
    ),
    "RMSprop": (
        lambda lr, alpha, eps, **_: optax.rmsprop(lr, alpha, eps, eps_in_sqrt=False),
        "",
    ),
    "Adam": (lambda lr, betas, eps, **_: optax.adam(lr, betas[0], betas[1], eps), ""),
    "AdamW": (
        lambda lr, betas, eps, weight_decay, **_: optax.adamw(
            lr, betas[0], betas[1], eps, weight_decay=weight_decay
        ),
        "",
    ),
    "RAdam": (
        lambda lr, betas, eps, **_: optax.radam(lr, betas[0], betas[1], eps),
        "its factor is worked out in float32",
    ),
    "Adamax": (lambda lr, betas, eps, **_: optax.adamax(lr, betas[0], betas[1], eps), ""),
    "Adagrad": (
        lambda lr, eps, **_: optax.adagrad(lr, 0.0, eps),
        "adds eps inside the root, within rounding here",
    ),
    "Adadelta": (lambda lr, rho, eps, **_: optax.adadelta(lr, rho, eps), ""),
    "Lion": (
        lambda lr, betas, weight_decay, **_: optax.lion(
            lr, betas[0], betas[1], weight_decay=weight_decay
        ),
        "",
    ),
}
# Kept and rounded in 16 bits, v is off by one part in 256, or in 2048, a step.
TOLERANCES = {"bfloat16": 0.05, "float16": 0.02}
RECTIFIED = 1e-3  # RAdam's factor, whose terms cancel, is worked out in float32


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    problem = place.problem
    if problem.rule not in MADE:
        name = problem.rule.lower()
        there = hasattr(optax, name)
        yield Skipped(
            "optax", f"optax.{name} is another formula" if there else f"optax has no {name}"
        )
    elif problem.dtype == "float64":
        yield Skipped("optax", "jax has float64 only where it is switched on for all of a process")
    else:
        yield made(place)


def made(place: Place) -> Candidate:
    make, remark = MADE[place.problem.rule]
    remarks, more = [OWN, remark], {}
    if place.dtype.itemsize == 2:
        remarks.append(f"keeps its state in {place.problem.dtype}")
        more = {"tolerance": TOLERANCES[place.problem.dtype]}
    elif place.problem.rule == "RAdam":
        more = {"tolerance": RECTIFIED}
    own = Own(make(**place.problem.settings), place)
    return candidate(
        "optax",
        place,
        own.step,
        take=own.take,
        params=own.host,
        remark="; ".join(x for x in remarks if x),
        **more,
    )


class Own:
    """jax's arrays, and the step over them."""

    def __init__(self, transformation: Any, place: Place) -> None:
        @functools.partial(jax.jit, donate_argnums=(0, 1))
        def run(params: Any, state: Any, grads: Any) -> Any:
            updates, state = transformation.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self.place, self.run, self.start = place, run, transformation.init
        self.state: Any = None

    def take(self, params: bool) -> None:
        """Gradients as they lie in the place, and parameters, if told."""
        self.grads = [jax.numpy.array(g) for g in self.place.grads]
        if params:
            self.params = [jax.numpy.array(p) for p in self.place.params]
        if self.state is None:
            self.state = self.start(self.params)

    def step(self) -> None:
        self.params, self.state = self.run(self.params, self.state, self.grads)
        jax.block_until_ready(self.params)

    def host(self) -> list[np.ndarray]:
        return [np.array(p) for p in self.params]
