"""A traced formula: statements over named values, the same for every printer."""

import functools
import keyword
import re
from dataclasses import dataclass

MOST_ARRAYS = 16  # of a sweep: p, g and the state
LOGIC = ("and", "or", "not")
TRUTH = ("<", "<=", ">", ">=", "==", "!=", *LOGIC)
RESERVED = re.compile(  # names that printed code uses, and words that only C++ reserves
    r"t\d+|s|s_.*|real|k|np|__.*|auto|bool|case|catch|char|const|constexpr|default|delete|do|double"
    r"|enum|explicit|extern|float|friend|goto|inline|int|long|mutable|namespace|new|operator|private"
    r"|protected|public|register|short|signed|sizeof|static|struct|switch|template|this|throw"
    r"|typedef|typename|union|unsigned|using|virtual|void|volatile|alignas|alignof|asm|compl|concept"
    r"|consteval|constinit|decltype|dynamic_cast|export|false|noexcept|nullptr|reinterpret_cast"
    r"|requires|static_assert|static_cast|thread_local|true|typeid|wchar_t|u?int64|(and|or|not|xor)_eq"
    r"|xor|bitand|bitor|op|pack|pointer|pointers|scalars|visit|each|offset|sweep|update|types|njit"
    r"|abs|aligned|all_aligned|arrays|formula|lane|load|maximum|minimum|place|row|sign|sqrt|start"
    r"|store|Arrays|Formula|Lanes|N|Pack|Place"
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


class Traced:
    """A program, which is compared by its text: that tells 0.0 from -0.0, and NaN is NaN."""

    @functools.cached_property
    def text(self) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(frozen=True, eq=False)
class Program(Traced):
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
    if len(arrays) > MOST_ARRAYS:
        raise LoweringError(
            f"rule {rule} keeps {len(arrays) - 2} buffers; at most {MOST_ARRAYS - 2} can be swept"
        )
    for name in arrays:
        reserved = keyword.iskeyword(name) or RESERVED.fullmatch(name)
        if not name.isidentifier() or reserved or arrays.count(name) > 1:
            raise LoweringError(
                f"rule {rule}: the state buffer name {name!r} is taken, reserved or no identifier; "
                f"the arrays are {arrays}"
            )
