"""The error for what a user gave."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
