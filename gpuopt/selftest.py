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
from gpuopt.rules.whole import WholeStep

SHAPES: tuple[tuple[int, ...], ...] = ((1,), (17,), (4097,), (66, 34))
STRIDED = (slice(None, None, 2), slice(1, None, 3))  # the last shape's view, with gaps around it
STEPS = 3  # the first has zero state, the second the state's decay, the third bias correction
LR = 0.01
TOLERANCE = 16.0  # ulps of the largest value that an element of p or of the state has had
DTYPES = ("float32", "float64")
FILL = 7.0  # what lies in the gaps, and must still lie there afterwards
OPTIONS = {"max_norm": 0.5, "max_value": 0.01, "loss_scale": 4.0, "zero_grads": True}
AVERAGE = 0.9
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
        found[f"{cls.__name__} in a whole step"] = whole_step(cls())
    return found


def whole_step(rule: Rule) -> WholeStep:
    """A rule with clipping, a loss scale, an average and zeroed gradients around it."""
    return WholeStep(rule, scaled=True, limited=True, zeroed=True, average=AVERAGE)


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
    options, average, given = {}, None, rule
    if isinstance(rule, WholeStep):
        options, average, given = OPTIONS, rule.average, rule.rule
    optimizer = Optimizer(views(whole), given, lr=LR, average=average, backend=name)
    # each gradient has its parameter's sign, so that no sum cancels and blows up rounding errors;
    # some stay tiny, so that eps counts
    typical = [np.sign(p) * 10.0 ** rng.uniform(-8, 0, p.shape) for p in views(hosts)]
    steps = [
        [(g * rng.uniform(0.5, 1.5, g.shape)).astype(dtype) for g in typical] for _ in range(STEPS)
    ]
    for grads in steps:
        optimizer.step([move(g) for g in grads], **options)
    factors = [clip_factor(grads) if options else {} for grads in steps]
    to_host = backends.load(name).to_host
    if (to_host(whole[-1])[gaps] != FILL).any():
        raise RuntimeError("the sweep wrote outside a strided parameter")
    worst = 0.0
    for k, p in enumerate(views(hosts)):
        got = [to_host(views(whole)[k]), *map(to_host, optimizer.state[str(k)].values())]
        exact, scale = reference(rule, p, [grads[k] for grads in steps], factors)
        for values, expected, size in zip(got, exact, scale, strict=True):
            ulps = np.abs(values.astype(np.float64) - expected) / np.spacing(size.astype(dtype))
            worst = max(worst, float(np.max(np.where(np.isnan(ulps), np.inf, ulps))))
    return worst


def clip_factor(grads: Sequence[np.ndarray]) -> dict[str, float]:
    """What the scalars of a whole step depend on beside lr and t, in float64."""
    scale = OPTIONS["loss_scale"]
    norm = np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in grads)) / scale
    factor = min(1.0, OPTIONS["max_norm"] / (norm + 1e-6)) / scale
    return {"factor": factor, "limit": OPTIONS["max_value"]}


def views(whole: Sequence[Any]) -> list[Any]:
    return [*whole[:-1], whole[-1][STRIDED]]


def mover(name: str) -> Callable[[np.ndarray], Any]:
    """How a backend's arrays are made from NumPy's."""
    if name == "cupy":
        return importlib.import_module("cupy").asarray
    if name == "numba-cuda":
        return importlib.import_module("gpuopt.kernels.device_numba_cuda").cuda.to_device
    return np.array


def reference(
    rule: Rule,
    p: np.ndarray,
    grads: Sequence[np.ndarray],
    factors: Sequence[Mapping[str, float]],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """p and state after a step for each gradient, by the formula itself on float64 arrays.

    And for every element the largest value it has had, the measure of its rounding errors.
    """
    first = [rule.initial.get(name, 0.0) for name in rule.state]
    arrays = [p.astype(np.float64), *(np.full(p.shape, value) for value in first)]
    carried = rule.carried
    scale = [np.abs(a) for a in arrays]
    with np.errstate(all="ignore"):
        for t, (g, factor) in enumerate(zip(grads, factors, strict=True), 1):
            s = SimpleNamespace(**rule.scalars(LR, t, **carried, **factor))
            carried = {name: getattr(s, name) for name in carried}
            before, *state = arrays
            new = rule.update(before, g.astype(np.float64), *state, s)
            new = new if isinstance(new, tuple) else (new,)
            arrays = list(new[: len(arrays)])  # the last, in a whole step, is the zeroed gradient
            scale = [np.maximum(a, np.abs(b)) for a, b in zip(scale, arrays, strict=True)]
    return arrays, scale
