"""What a schedule is: a frozen dataclass whose fields know how they are checked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, get_type_hints

from gpuopt.checks import decay_rate as below_one
from gpuopt.checks import non_negative, positive, whole


def factor(name: str, value: Any) -> float:
    """`value` as a float in (0, 1]: its powers are finite."""
    number = positive(name, value)
    if number > 1:
        raise ValueError(f"{name} must be in (0, 1], got {number!r}")
    return number


def function(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be a schedule, a function of one number, got {value!r}")
    return value


def each(check: Callable[[str, Any], Any], name: str, values: Any) -> tuple[Any, ...]:
    """`values` as a tuple, every item checked."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list or tuple, got {values!r}")
    return tuple(check(f"{name}[{k}]", value) for k, value in enumerate(values))


def increasing(name: str, values: Any) -> tuple[int, ...]:
    numbers = each(partial(whole, least=0), name, values)
    if list(numbers) != sorted(set(numbers)):
        raise ValueError(f"{name} must increase, got {list(numbers)}")
    return numbers


# What fields hold, each with the check that its value goes through
Rate = Annotated[float, non_negative]
Factor = Annotated[float, factor]
Divisor = Annotated[float, positive]
Share = Annotated[float, below_one]
Length = Annotated[int, partial(whole, least=0)]
Period = Annotated[int, partial(whole, least=1)]
Boundaries = Annotated[Sequence[int], increasing]
Rates = Annotated[Sequence[float], partial(each, non_negative)]
Function = Annotated[Callable[[Any], float], function]
Functions = Annotated[Sequence[Callable[[Any], float]], partial(each, function)]


@dataclass(frozen=True)
class Schedule(ABC):
    """A learning rate as a function of t."""

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            (check,) = hint.__metadata__
            object.__setattr__(self, name, check(name, getattr(self, name)))

    def __call__(self, t: Any) -> float:
        number = non_negative("t, the number of a step or an epoch,", t)
        return self.at(int(number) if number.is_integer() else number)

    @abstractmethod
    def at(self, t: float) -> float:
        """The learning rate at t >= 0, an int where it is whole."""


def one_more(name: str, items: Sequence[Any], boundaries: Sequence[int]) -> None:
    if len(items) != len(boundaries) + 1:
        raise ValueError(
            f"{name} must have one item more than boundaries, got {len(items)} and "
            f"{len(boundaries)}"
        )
