"""What the pictures of all commands have in common: how they look, and how they are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpuopt.errors import InputError

# Okabe and Ito's palette, which colour-blind readers can tell apart; dashes help in print
BLACK, BLUE, RED, GREEN, PINK = "#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY = "#E69F00", "#56B4E9"
STYLES: dict[str, tuple[str, Any]] = {
    "sgd": (BLACK, "-"),
    "momentum": (BLUE, (0, (6, 1.5))),
    "rmsprop": (RED, (0, (3, 1))),
    "adam": (GREEN, "-"),
    "adamw": (PINK, (0, (1, 1))),
}
TITLES = {
    "sgd": "gradient descent",
    "momentum": "momentum",
    "rmsprop": "RMSprop",
    "adam": "Adam",
    "adamw": "AdamW",
}
SUFFIXES = (".png", ".pdf", ".svg")


def need_matplotlib(instead: str = "give --no-plot") -> None:
    """Raise InputError without matplotlib; `instead` says what else the user may do."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"the plot needs matplotlib ({error}); pip install 'gpuopt[cli]', or {instead}"
        ) from None


@contextmanager
def picture(path: Path, size: tuple[float, float], kind: str = "png") -> Iterator[Any]:
    """A matplotlib Figure of `size` inches, written to `path` at the end as png, pdf or svg."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=size, layout="constrained")
        yield figure
        figure.savefig(path, format=kind, dpi=150)
