"""The error for what a user gave, and texts of errors that stay short."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class InputError(ValueError):
    """What a user gave on the command line or in a file cannot be used.

    The message is one line: what was given, what is expected, how to mend it. The command line
    prints it without a traceback.
    """


@contextmanager
def input_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors of these `kinds` into InputError.

    For a few lines only, where such an error can come from nothing but the user's values.
    """
    try:
        yield
    except kinds as error:
        raise InputError(" ".join(str(error).split())) from error


def add_note(error: BaseException, note: str) -> None:
    """Add a line that is printed with the error, whose type and text stay.

    Before Python 3.11, which has notes, the line is printed as the cause of the first error in the
    chain; `__notes__` holds it there, too.
    """
    if sys.version_info >= (3, 11):
        error.add_note(note)
        return
    error.__notes__ = [*getattr(error, "__notes__", ()), note]
    first, seen = error, {id(error)}
    while (before := first.__cause__ or first.__context__) is not None and id(before) not in seen:
        first = before
        seen.add(id(before))
    first.__cause__ = RuntimeError(note)


def notes(error: BaseException) -> list[str]:
    """The lines that were added to an error."""
    return list(getattr(error, "__notes__", ()))


LONGEST = 380  # characters of an error's text; with a path before it, it stays below 500


def one_line(text: str) -> str:
    """`text` with escapes for line breaks and whatever else cannot be printed."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shortened(text: str, most: int = LONGEST) -> str:
    """`text` in one line; of a longer one than `most` characters the beginning and the end, with
    the number of characters between them."""

    def cut(text: str) -> str:
        if len(text) <= most:
            return text
        part = (most - 40) // 2
        left_out = len(text) - 2 * part
        return f"{text[:part]} ... ({left_out:,} characters) ... {text[-part:]}"

    return cut(one_line(cut(text)))  # escapes make it longer


def listed(names: Iterable[Any], most: int = 5) -> str:
    """Names for an error: the first ones, each shortened, and how many more there are."""
    names = list(names)
    shown = ", ".join(shortened(repr(name), 60) for name in names[:most])
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"[{shown}]{more}"


@contextmanager
def brief_errors() -> Iterator[None]:
    """KeyError, TypeError and ValueError have one line of less than 500 characters, whatever names
    and values were given; and whatever nests too deeply to be shown is a ValueError."""
    try:
        yield
    except RecursionError as error:
        raise ValueError(f"values are nested too deeply: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        text = said(error)
        kind = next(x for x in (KeyError, TypeError, ValueError) if isinstance(error, x))
        # str(KeyError) is a repr, which can double the length
        brief = shortened(text, LONGEST // 2 if kind is KeyError else LONGEST)
        if brief == text:
            raise
        raise kind(brief) from None


@contextmanager
def errors_of(path: str) -> Iterator[None]:
    """Errors of what is in a file are ValueErrors that name it, in one line of less than 500
    characters. OSErrors stay what they are, as short."""
    name = shortened(path, 100)
    try:
        yield
    except OSError as error:
        if len(str(error)) < LONGEST:
            raise
        why = shortened(error.strerror or str(error))
        raise OSError(error.errno, why, name) from None
    except (
        ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
    ) as error:  # fmt: skip
        text = said(error)
        brief = shortened(text)
        raise ValueError(f"{name}: {brief}") from (error if brief == text else None)


def said(error: Exception) -> str:
    """An error's text; a KeyError's without the quotes that `str` puts around it."""
    return str(error.args[0] if isinstance(error, KeyError) and error.args else error)
