"""Tracing a rule's `scalars`, so that a GPU can work them out from its own step counts."""

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from gpuopt.lowering.program import LoweringError, Statement, Traced
from gpuopt.lowering.symbols import OPERATIONS, Recorder, Value
from gpuopt.rules.base import Rule
from gpuopt.rules.knobs import replace_floats
from gpuopt.rules.whole import WholeStep

MORE = {np.exp: "exp", np.log: "log", np.floor: "floor"}
FUNCTIONS = {name: function for function, name in (OPERATIONS | MORE).items()}
FUNCTIONS |= {"where": np.where, "power": np.power}
INPUTS = ("t", "factor", "limit", "skip")  # in this order the printed function takes them


@dataclass(frozen=True, eq=False)
class ScalarsProgram(Traced):
    """What a rule's `scalars` does, in float64.

    knobs: names of the numbers that the host gives for every row of the table: the learning rate,
    then the rule's. Statements may also use INPUTS, and c0, c1 ... for what the rule carries.
    results: each scalar's value, in order. carried: for c0, c1 ..., what they become.
    """

    rule: str
    knobs: tuple[str, ...]
    statements: tuple[Statement, ...]
    results: tuple[tuple[str, str | float], ...]
    carried: tuple[str | float, ...]


class ScalarsRecorder(Recorder):
    """Records like a formula's recorder, and knows the present value of what only knobs decide: a
    Python `if self.momentum:` is decided by it."""

    operations = OPERATIONS | MORE

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.numbers: dict[str, Any] = {}

    def knob(self, value: float) -> Value:
        name = f"k{len(self.numbers)}"
        self.numbers[name] = value
        return Value(self, name)

    def record(self, op: str, *args: Any) -> Value:
        made = super().record(op, *args)
        values = [self.numbers.get(a.name) if isinstance(a, Value) else a for a in args]
        if all(x is not None for x in values):
            with np.errstate(all="ignore"):
                self.numbers[made.name] = FUNCTIONS[op](*values)
        return made

    def power(self, base: Any, exponent: Any) -> Value:
        return self.record("power", base, exponent)

    def truth(self, value: Value) -> bool:
        if value.name in self.numbers:
            return bool(self.numbers[value.name])
        return super().truth(value)

    def fail(self, what: str) -> NoReturn:
        raise LoweringError(
            f"rule {self.rule}: {what} in scalars() cannot be worked out on a GPU, which max_norm, "
            "skip_nonfinite, a device's loss_scale and graph capture need there; use arithmetic, "
            "**, comparisons and numpy's where, sqrt, exp, log, floor, abs, sign, maximum, minimum"
        )


def trace_scalars(rule: Rule) -> ScalarsProgram:
    """The program of `rule.scalars`. Raises LoweringError for what a kernel cannot do.

    Nothing is remembered, as in `trace`.
    """
    inner = rule.rule if isinstance(rule, WholeStep) else rule
    recorder = ScalarsRecorder(type(inner).__name__)
    symbolic = replace_floats(rule, recorder.knob)
    knobs = ("lr", *recorder.numbers)
    lr, *inputs = (Value(recorder, name) for name in ("lr", *INPUTS))
    given = inputs if isinstance(rule, WholeStep) else inputs[:1]
    try:
        before = {name: Value(recorder, f"c{k}") for k, name in enumerate(rule.carried)}
        results = symbolic.scalars(lr, *given, **before)
        values = [(str(name), recorder.operand(value)) for name, value in results.items()]
    except LoweringError:
        raise
    except (TypeError, AttributeError, ValueError) as error:
        recorder.fail(f"what raises `{error}`")
    recorder.check_truths("return", tuple(value for _, value in values))
    carried = tuple(dict(values)[name] for name in rule.carried)
    statements = tuple(recorder.known.values())
    return ScalarsProgram(recorder.rule, knobs, statements, tuple(values), carried)
