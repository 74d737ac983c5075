"""A traced formula: statements over named values, the same for every printer."""

import keyword
import re
from dataclasses import dataclass

LOGIC = ("and", "or", "not")
TRUTH = ("<", "<=", ">", ">=", "==", "!=", *LOGIC)
RESERVED = re.compile(  # names that printed code uses, and words that only C++ reserves
    r"t\d+|s|s_.*|real|k|np|__.*|auto|bool|case|catch|char|const|constexpr|default|delete|do|double"
    r"|enum|explicit|extern|float|friend|goto|inline|int|long|mutable|namespace|new|operator|private"
    r"|protected|public|register|short|signed|sizeof|static|struct|switch|template|this|throw"
    r"|typedef|typename|union|unsigned|using|virtual|void|volatile"
    r"|abs|aligned|all_aligned|arrays|formula|lane|load|maximum|minimum|place|row|sign|start|store"
    r"|update|Arrays|Formula|Lanes|N|Pack|Place"
)


class LoweringError(TypeError):
    """A rule's formula does something that no kernel can be printed for."""


@dataclass(frozen=True)
class Statement:
    """`name = op(*args)`; an argument is the name of an earlier value or a float literal."""

    name: str
    op: str
    args: tuple[str | float, ...]

    @property
    def is_truth(self) -> bool:
        """Whether the value is true or false rather than a real number."""
        return self.op in TRUTH


@dataclass(frozen=True)
class Program:
    """A traced formula. Two rules with equal programs share one kernel."""

    rule: str
    arrays: tuple[str, ...]  # "p", "g" and the state, as the formula takes them
    scalars: tuple[str, ...]
    statements: tuple[Statement, ...]
    results: tuple[tuple[str, str | float], ...]  # array name -> the value stored there

    @property
    def writes(self) -> tuple[bool, ...]:
        """For every array, whether the sweep stores to it."""
        targets = dict(self.results)
        return tuple(name in targets for name in self.arrays)


def check_names(rule: str, arrays: tuple[str, ...]) -> None:
    """State buffers become variables in printed code, so their names must be free there."""
    for name in arrays:
        reserved = keyword.iskeyword(name) or RESERVED.fullmatch(name)
        if not name.isidentifier() or reserved or arrays.count(name) > 1:
            raise LoweringError(
                f"rule {rule}: the state buffer name {name!r} is taken, reserved or no identifier; "
                f"the arrays are {arrays}"
            )
