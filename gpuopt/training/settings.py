"""What `gpuopt train` was asked to do, checked."""

import math
from dataclasses import dataclass

import gpuopt
from gpuopt.checks import decay_rate
from gpuopt.errors import InputError
from gpuopt.groups import learning_rate
from gpuopt.training.schedules import schedule

MAKERS = {
    "sgd": gpuopt.SGD,
    "momentum": gpuopt.Momentum,
    "rmsprop": gpuopt.RMSprop,
    "adam": gpuopt.Adam,
    "adamw": gpuopt.AdamW,
}
DEFAULT_LR = {"sgd": 0.1, "momentum": 0.3, "rmsprop": 0.001, "adam": 0.002, "adamw": 0.002}
DEFAULT_OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")


@dataclass(frozen=True)
class Settings:
    """A run: the optimizers with their learning rates, and what they have in common.

    schedule: what `--schedule` says, or None. average: the decay of an average of the weights, or
    None.
    """

    lr: dict[str, float]
    hidden: tuple[int, ...] = (256, 128)
    batch_size: int = 64
    epochs: int = 20
    l2: float = 0.0
    seed: int = 0
    schedule: str | None = None
    normalize: bool = True
    average: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("epochs", 1), ("seed", 0)):
            if getattr(self, name) < least:
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} {getattr(self, name)}: must be at least {least}")
        if not (self.l2 >= 0 and math.isfinite(self.l2)):
            raise InputError(f"--l2 {self.l2}: must be a finite number >= 0")
        if self.average is not None:
            try:
                decay_rate("the decay", self.average)
            except ValueError as error:
                raise InputError(f"--average {self.average}: {error}") from None
        if self.schedule is not None:
            for lr in self.lr.values():  # raises for a text that is none
                schedule(self.schedule, lr, self.epochs, per_epoch=1)


def optimizer_names(given: list[str]) -> list[str]:
    """Names from `--optimizer`, each once, in the order given; without any, the four defaults."""
    names = [name.strip().lower() for text in given for name in text.split(",")]
    for name in names:
        if name not in MAKERS:
            known = ", ".join(MAKERS)
            raise InputError(f"--optimizer {name!r}: there is no such optimizer; choose of {known}")
    return list(dict.fromkeys(names)) or list(DEFAULT_OPTIMIZERS)


def learning_rates(names: list[str], given: str | None) -> dict[str, float]:
    """The learning rate of each optimizer: its default, or what `--lr` gives.

    given: one number for all, or NAME=NUMBER pairs with commas between them.
    """
    lr = {name: DEFAULT_LR[name] for name in names}
    for part in given.split(",") if given is not None else ():
        name, equals, text = part.rpartition("=")
        name = name.strip().lower()
        if equals and name not in lr:
            raise InputError(f"--lr {given}: {name!r} is not among the optimizers {', '.join(lr)}")
        if not equals and "," in (given or ""):
            raise InputError(f"--lr {given}: give one number, or NAME=NUMBER for each optimizer")
        try:
            value = float(text)
        except ValueError:
            raise InputError(
                f"--lr {given}: {text!r} is not a number; give one, as in --lr 0.01, "
                "or --lr adam=0.001,sgd=0.1"
            ) from None
        try:
            learning_rate(value)
        except ValueError as error:
            raise InputError(f"--lr {given}: {error}") from None
        lr.update({name: value} if equals else dict.fromkeys(names, value))
    return lr


def hidden_layers(text: str) -> tuple[int, ...]:
    """The sizes of the hidden layers from `--hidden`: "64,32", or "none"."""
    if text.strip().lower() == "none":
        return ()
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise InputError(
            f"--hidden {text}: must be whole numbers above 0 with commas between them, "
            "as in 64,32, or none"
        )
    return sizes
