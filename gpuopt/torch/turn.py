"""One at a time, and whole: what other threads and interrupts must not come between."""

from collections.abc import Callable
from typing import Any

TRIES = 3  # of work that interrupts cut short


def alone(turn: dict[str, Any], work: Callable[..., Any], *args: Any) -> Any:
    """Do `work`, unless somebody else is at work with the same `turn`: RuntimeError then.

    A signal may raise after every call. So the turn is taken inside of `try`, and given back by
    statements that call nothing.
    """
    mine: list[Any] = []  # told apart from others by its identity
    try:
        if turn.setdefault("taken", mine) is not mine:
            raise RuntimeError(
                "another thread is stepping this optimizer, or a signal handler, hook or closure "
                "does while a step is under way; take one step at a time, or make an optimizer for "
                "each thread"
            )
        result = work(*args)
    finally:
        if "taken" in turn and turn["taken"] is mine:
            del turn["taken"]
    return result


def again(work: Callable[..., None], *args: Any) -> None:
    """Do `work`, which can be begun anew, to its end. What signal handlers raise meanwhile
    (KeyboardInterrupt, or an error of their own) is raised afterwards."""
    raised: BaseException | None = None
    for _ in range(TRIES):
        try:
            work(*args)
        except BaseException as error:
            raised = error
        else:
            break
    if raised is not None:
        raise raised
