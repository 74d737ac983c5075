"""Symbols that stand for the elements of a formula, and record what is done with them."""

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from gpuopt.lowering.program import LOGIC, LoweringError, Statement

OPERATIONS: dict[Any, str] = {  # what a formula may call, and its name in a statement
    np.add: "+",
    np.subtract: "-",
    np.multiply: "*",
    np.true_divide: "/",
    np.less: "<",
    np.less_equal: "<=",
    np.greater: ">",
    np.greater_equal: ">=",
    np.equal: "==",
    np.not_equal: "!=",
    np.logical_and: "and",
    np.logical_or: "or",
    np.logical_not: "not",
    np.negative: "negative",
    np.sqrt: "sqrt",
    np.absolute: "abs",
    np.sign: "sign",
    np.maximum: "maximum",
    np.minimum: "minimum",
}
SUPPORTED = "+ - * / **(small whole powers) < <= > >= == !=, numpy." + ", numpy.".join(
    ["sqrt", "abs", "sign", "maximum", "minimum", "where", "logical_and/or/not"]
)


class Recorder:
    """The statements so far; an operation on the same arguments is recorded once."""

    operations = OPERATIONS

    def __init__(self, rule: str) -> None:
        self.rule = rule
        self.known: dict[str, Statement] = {}
        self.truths: set[str] = set()

    def record(self, op: str, *args: Any) -> "Value":
        operands = tuple(self.operand(a) for a in args)
        self.check_truths(op, operands[1:] if op == "where" else operands)
        new = Statement(f"t{len(self.known)}", op, operands)
        name = self.known.setdefault(f"{op} {operands!r}", new).name
        if new.is_truth:
            self.truths.add(name)
        return Value(self, name)

    def operand(self, value: Any) -> str | float:
        if isinstance(value, Value):
            return value.name
        if isinstance(value, (str, complex)) or np.ndim(value) != 0:
            self.fail(f"the value {value!r} inside the formula")
        return float(value)

    def check_truths(self, op: str, operands: tuple[str | float, ...]) -> None:
        """NumPy, Python and C++ differ on truths as numbers and on numbers as truths."""
        logic = op in LOGIC
        for x in operands:
            if logic and x not in self.truths:
                self.fail(f"numpy.logical_{op} of a number (compare it first)")
            if not logic and x in self.truths:
                self.fail(f"a true or false value as a number in {op!r} (numpy.where(c, 1.0, 0.0))")

    def power(self, base: Any, exponent: Any) -> Any:
        if isinstance(exponent, Value) or exponent not in (1, 2, 3, 4):
            self.fail(f"the power {base!r} ** {exponent!r}")
        return functools.reduce(np.multiply, [base] * int(exponent))

    def truth(self, value: "Value") -> bool:
        self.fail("a Python `if`, `and` or `or` on an element (numpy.where can)")

    def fail(self, what: str) -> NoReturn:
        raise LoweringError(
            f"rule {self.rule}: {what} cannot be lowered to a kernel; "
            f"a formula may use {SUPPORTED}. backend='numpy' runs any formula of one element."
        )


def _binary(function: np.ufunc, swapped: bool = False) -> Callable[["Value", Any], Any]:
    def method(self: "Value", other: Any) -> Any:
        return function(other, self) if swapped else function(self, other)

    return method


class Scalars:
    """The scalars of a step as symbols."""

    def __init__(self, recorder: Recorder, names: tuple[str, ...]) -> None:
        self.recorder, self.names = recorder, names

    def __getattr__(self, name: str) -> "Value":
        if name not in self.names:
            given = ", ".join(self.names) or "nothing"
            raise LoweringError(
                f"rule {self.recorder.rule}: update uses s.{name}, but scalars() returns {given}; "
                "update takes (p, g, *state, s)"
            )
        return Value(self.recorder, f"s_{name}")


class Value:
    """A symbol that stands for one element while a formula is traced."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder = recorder
        self.name = name

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if ufunc is np.power and method == "__call__" and not kwargs:
            return self.recorder.power(*inputs)
        if ufunc is np.square:
            return inputs[0] * inputs[0]
        if ufunc not in self.recorder.operations or method != "__call__" or kwargs:
            call = "" if method == "__call__" else f".{method}"
            options = f" with {', '.join(kwargs)}=" if kwargs else ""
            self.recorder.fail(f"numpy.{ufunc.__name__}{call}{options}")
        return self.recorder.record(self.recorder.operations[ufunc], *inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.where and len(args) == 3 and not kwargs:
            return self.recorder.record("where", *args)
        self.recorder.fail(f"numpy.{function.__name__}")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # NumPy and copy ask for many that need not be there
            raise AttributeError(name)
        self.recorder.fail(f".{name} of an element (a formula sees one number, not an array)")

    def __repr__(self) -> str:
        return self.name

    def __bool__(self) -> bool:
        return self.recorder.truth(self)

    def __float__(self) -> float:
        self.recorder.fail("float() or a function of the math module on an element")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        self.recorder.fail("turning an element into an array")

    def __neg__(self) -> Any:
        return np.negative(self)

    def __abs__(self) -> Any:
        return np.absolute(self)

    def __pow__(self, exponent: Any) -> Any:
        return self.recorder.power(self, exponent)

    def __rpow__(self, base: Any) -> Any:
        return self.recorder.power(base, self)

    def _in_place(self, other: Any) -> Any:
        self.recorder.fail("an assignment in place (`g += x`; write `g = g + x`)")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = _in_place
    __add__, __radd__ = _binary(np.add), _binary(np.add, swapped=True)
    __sub__, __rsub__ = _binary(np.subtract), _binary(np.subtract, swapped=True)
    __mul__, __rmul__ = _binary(np.multiply), _binary(np.multiply, swapped=True)
    __truediv__, __rtruediv__ = _binary(np.true_divide), _binary(np.true_divide, swapped=True)
    __lt__, __le__ = _binary(np.less), _binary(np.less_equal)
    __gt__, __ge__ = _binary(np.greater), _binary(np.greater_equal)
    __eq__ = _binary(np.equal)  # type: ignore[assignment]
    __ne__ = _binary(np.not_equal)  # type: ignore[assignment]
