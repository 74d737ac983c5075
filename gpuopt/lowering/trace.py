"""Tracing: run a rule's formula once with symbols and record what it does, as statements."""

from typing import Any

from gpuopt.lowering.program import LoweringError, Program, check_names
from gpuopt.lowering.symbols import Recorder, Scalars, Value
from gpuopt.rules.base import Rule


def trace(rule: Rule) -> Program:
    """The program of `rule.update`. Raises LoweringError for what no kernel can do.

    Nothing is remembered: what a formula reads (methods, class attributes, globals) may change at
    any time, and nobody is told.
    """
    name = type(rule).__name__
    arrays = ("p", "g", *rule.state)
    scalars = tuple(rule.scalars(1e-3, 1, **rule.carried))
    check_names(name, arrays)
    recorder = Recorder(name)
    symbols = [Value(recorder, a) for a in arrays]
    s = Scalars(recorder, scalars)
    try:
        results = returned(rule, rule.update(*symbols, s))
    except LoweringError:
        raise
    except (TypeError, AttributeError) as error:
        recorder.fail(f"what raises `{error}`")
    values = tuple(map(recorder.operand, results))
    recorder.check_truths("return", values)
    stored = dict(zip(rule.outputs, values, strict=True))
    results = tuple((a, stored[a]) for a in arrays if a in stored)
    return Program(name, arrays, scalars, tuple(recorder.known.values()), results)


def returned(rule: Rule, results: Any) -> tuple[Any, ...]:
    """What `update` returned, as one value for each of `rule.outputs`."""
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(rule.outputs):
        expected = ", ".join(rule.outputs)
        raise LoweringError(
            f"rule {type(rule).__name__}: update must return ({expected}), "
            f"got {len(results)} value(s)"
        )
    return results
