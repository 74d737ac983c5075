"""Does every rule compute its formula on every backend here? Compared with a float64 run of it."""

import dataclasses
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from gpuopt import backends, rules
from gpuopt.optimizer import Optimizer
from gpuopt.rules.base import Rule

SHAPES: tuple[tuple[int, ...], ...] = ((1,), (17,), (4097,), (66, 34))
STRIDED = (slice(None, None, 2), slice(1, None, 3))  # the last shape's view, with gaps around it
STEPS = 3  # the first has zero state, the second the state's decay, the third bias correction
LR = 0.01
TOLERANCE = 16.0  # ulps of the largest value that an element of p or of the state has had
DTYPES = ("float32", "float64")
FILL = 7.0  # what lies in the gaps, and must still lie there afterwards
SWITCHED_ON = {"momentum": 0.9, "weight_decay": 0.1}


class Outcome(NamedTuple):
    """One rule on one backend. error: largest, in ulps. reason: why there is none, if so."""

    rule: str
    backend: str
    dtype: str
    error: float
    reason: str | None = None

    @property
    def passed(self) -> bool:
        return self.reason is None and self.error <= TOLERANCE


def cases(classes: Sequence[type[Rule]]) -> dict[str, Rule]:
    """Every rule as it is, and with each flag turned over, by a readable name."""
    found = {}
    for cls in classes:
        found[cls.__name__] = cls()
        for field in dataclasses.fields(cls):
            if isinstance(field.default, bool) and field.name != "maximize":
                options = {field.name: not field.default}
            elif field.name in SWITCHED_ON and not field.default:
                options = {field.name: SWITCHED_ON[field.name]}
            else:
                continue
            for extra in ({}, {"momentum": SWITCHED_ON["momentum"]}):  # nesterov needs momentum
                try:
                    rule = cls(**options, **extra)
                except (TypeError, ValueError):
                    continue
                found[f"{cls.__name__} {named({**options, **extra})}"] = rule
                break
    return found


def named(options: Mapping[str, Any]) -> str:
    return ", ".join(k if v is True else f"{k}={v}" for k, v in options.items())


def run(
    names: Sequence[str],
    seed: int = 0,
    classes: Sequence[type[Rule]] = rules.ALL,
    advance: Callable[[str], None] = lambda label: None,
) -> Iterator[Outcome]:
    """Check every rule on each backend in `names`; `advance(label)` is called before each."""
    for label, rule in cases(classes).items():
        for name in names:
            for dtype in DTYPES:
                advance(label)
                try:
                    error, reason = largest_error(rule, name, np.dtype(dtype), seed), None
                except Exception as failure:  # whatever a broken backend raises is the finding
                    error, reason = np.inf, f"{type(failure).__name__}: {failure}"
                yield Outcome(label, name, dtype, error, reason)


def largest_error(rule: Rule, name: str, dtype: np.dtype, seed: int) -> float:
    """The largest error of p and state after `STEPS` steps, in ulps; inf for a NaN.

    Raises RuntimeError if something outside the strided parameter was written.
    """
    rng = np.random.default_rng(seed)
    hosts = [rng.uniform(0.5, 2, shape) * rng.choice([-1, 1], shape) for shape in SHAPES]
    hosts = [a.astype(dtype) for a in hosts]
    gaps = np.ones(SHAPES[-1], bool)
    gaps[STRIDED] = False
    hosts[-1][gaps] = FILL
    move = mover(name)
    whole = [move(a) for a in hosts]
    optimizer = Optimizer(views(whole), rule, lr=LR, backend=name)
    # each gradient has its parameter's sign, so that no sum cancels and blows up rounding errors;
    # some stay tiny, so that eps counts
    typical = [np.sign(p) * 10.0 ** rng.uniform(-8, 0, p.shape) for p in views(hosts)]
    steps = [
        [(g * rng.uniform(0.5, 1.5, g.shape)).astype(dtype) for g in typical] for _ in range(STEPS)
    ]
    for grads in steps:
        optimizer.step([move(g) for g in grads])
    to_host = backends.load(name).to_host
    if (to_host(whole[-1])[gaps] != FILL).any():
        raise RuntimeError("the sweep wrote outside a strided parameter")
    worst = 0.0
    for k, p in enumerate(views(hosts)):
        got = [to_host(views(whole)[k]), *map(to_host, optimizer.state[str(k)].values())]
        exact, scale = reference(rule, p, [grads[k] for grads in steps])
        for values, expected, size in zip(got, exact, scale, strict=True):
            ulps = np.abs(values.astype(np.float64) - expected) / np.spacing(size.astype(dtype))
            worst = max(worst, float(np.max(np.where(np.isnan(ulps), np.inf, ulps))))
    return worst


def views(whole: Sequence[Any]) -> list[Any]:
    return [*whole[:-1], whole[-1][STRIDED]]


def mover(name: str) -> Callable[[np.ndarray], Any]:
    """How a backend's arrays are made from NumPy's."""
    if name in backends.GPU:
        return importlib.import_module("cupy").asarray
    return np.array


def reference(
    rule: Rule, p: np.ndarray, grads: Sequence[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """p and state after a step for each gradient, by the formula itself on float64 arrays.

    And for every element the largest value it has had, the measure of its rounding errors.
    """
    arrays = [p.astype(np.float64), *(np.zeros(p.shape) for _ in rule.state)]
    scale = [np.abs(a) for a in arrays]
    with np.errstate(all="ignore"):
        for t, g in enumerate(grads, 1):
            s = SimpleNamespace(**rule.scalars(LR, t))
            first, *state = arrays
            new = rule.update(first, g.astype(np.float64), *state, s)
            arrays = list(new) if isinstance(new, tuple) else [new]
            scale = [np.maximum(a, np.abs(b)) for a, b in zip(scale, arrays, strict=True)]
    return arrays, scale
