"""State in JSON's types, and back: tuples become lists, NumPy's numbers Python's; nothing else
changes, or an error says what would."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def random_state(rng: np.random.Generator) -> dict[str, Any]:
    """The state of a generator."""
    return lists(rng.bit_generator.state)


def in_state(rng: np.random.Generator, saved: Any, what: str) -> np.random.Generator:
    """A new generator of the kind of `rng` in a saved state; `rng` stays as it is. ValueError,
    naming `what`, for one that is no state of that kind."""
    kind = type(rng.bit_generator)
    try:
        bits = kind()
        bits.state = saved
        require_positions(bits.state)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{what} is no state of {kind.__name__}: {error}") from None
    return np.random.Generator(bits)


def require_positions(state: Mapping[str, Any]) -> None:
    """ValueError for a generator's place outside its buffer, where NumPy would read all the same:
    of MT19937 and Philox."""
    pairs = ((state.get("state"), "key", "pos"), (state, "buffer", "buffer_pos"))
    for numbers, buffer, place in pairs:
        if isinstance(numbers, Mapping) and place in numbers:
            count = len(numbers[buffer])
            if not 0 <= numbers[place] <= count:
                raise ValueError(f"{place} is {numbers[place]}, of {count}")


def lists(value: Any) -> Any:
    """Arrays as lists, in a mapping of any depth."""
    if isinstance(value, dict):
        return {key: lists(x) for key, x in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def as_json(value: Any, what: str) -> str:
    """A text, in which NumPy's numbers are Python's, tuples lists. TypeError, naming `what`, for
    what JSON cannot hold, and for keys that are no text, which json would make text."""
    try:
        text = json.dumps(value, default=number)
        require_text_keys(value)
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"{what} must be what JSON can hold: numbers, text, lists, mappings of text; {error}"
        ) from None


def require_text_keys(value: Any) -> None:
    """Raise TypeError for a mapping of anything but text, at any depth."""
    if isinstance(value, dict):
        for key, x in value.items():
            if not isinstance(key, str):
                raise TypeError(f"got the key {key!r}, which is no text; try {str(key)!r}")
            require_text_keys(x)
    elif isinstance(value, list | tuple):
        for x in value:
            require_text_keys(x)


def number(value: Any) -> Any:
    if isinstance(value, np.number | np.bool_):
        return value.item()
    raise TypeError(f"got {value!r}")


def from_json(text: str) -> Any:
    """What `as_json` was given. ValueError for damaged text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its metadata are damaged: {error}") from None
