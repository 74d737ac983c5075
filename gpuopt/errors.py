"""The error for what a user gave."""

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
