"""What `gpuopt bench` was asked to measure, checked."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from gpuopt import backends
from gpuopt.bench import cases
from gpuopt.bench.peers import PEERS
from gpuopt.bench.problem import DTYPES, RULES
from gpuopt.errors import InputError

LISTS = {
    "mlp": "MLP 784-128-10",
    "resnet50": "ResNet-50",
    "gpt2": "GPT-2 small",
    "vit": "ViT-B",
    "small500": "500 tensors of 256",
}
MOST, MOST_TENSORS = 10**12, 10**5  # more is a slip of the pen


class Size(NamedTuple):
    """A list of parameters: its name, and its shapes."""

    name: str
    shapes: cases.Shapes

    @property
    def parameters(self) -> int:
        return cases.elements(self.shapes)


@dataclass(frozen=True)
class Settings:
    """What to measure: every rule with every size, dtype and backend.

    rules, peers: names; None for the default, which goes by the sizes. backends: names, or none for
    the best of each device. repeat: rounds, or None for as many as there is time for. copies: on a
    GPU, also with copies to and from the host. quick: in less than a minute. loss: also train a
    small network and note the loss against the time.
    """

    rules: tuple[str, ...] | None = None
    sizes: tuple[Size, ...] | None = None
    dtypes: tuple[str, ...] = ("float32",)
    backends: tuple[str, ...] = ()
    peers: tuple[str, ...] = tuple(PEERS)
    repeat: int | None = None
    copies: bool = False
    quick: bool = False
    seed: int = 0
    device: str = "auto"
    loss: bool = False

    def __post_init__(self) -> None:
        if self.repeat is not None and not 1 <= self.repeat <= 1000:
            raise InputError(f"--repeat {self.repeat}: must be a number of rounds from 1 to 1000")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: must be at least 0")


def words(option: str, text: str, names: Iterable[str], everything: str = "all") -> list[str]:
    """The `names` in `text`, each once, in any case of letters; `everything` is all of them."""
    known, found = {name.lower(): name for name in names}, []
    if text.strip().lower() == everything:
        return list(known.values())
    for word in text.split(","):
        name = known.get(word.strip().lower())
        if name is None:
            there = ", ".join([*known.values(), everything])
            raise InputError(f"{option} {text}: there is no {word.strip()!r}; choose of {there}")
        found.append(name)
    return list(dict.fromkeys(found))


def rule_names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(words("--rules", text, RULES))


def dtype_names(text: str) -> tuple[str, ...]:
    found = tuple(words("--dtypes", text, DTYPES))
    if "bfloat16" in found:
        try:
            import ml_dtypes  # noqa: F401
        except ImportError:
            raise InputError(
                f"--dtypes {text}: bfloat16 needs ml_dtypes; pip install 'gpuopt[bfloat16]'"
            ) from None
    return found


def peer_names(text: str) -> tuple[str, ...]:
    if text.strip().lower() == "none":
        return ()
    return tuple(words("--peers", text, PEERS))


def backend_names(text: str) -> tuple[str, ...]:
    """The backends of `--backends`; none for "auto". InputError for one that cannot run here."""
    if text.strip().lower() == "auto":
        return ()
    found = tuple(words("--backends", text, backends.CLASSES, "auto"))
    for name in found:
        reason = backends.unavailable(name)
        if reason:
            raise InputError(f"--backends {text}: {reason}; leave {name} out, or give auto")
    return found


def sizes(text: str | None, tensors: str) -> tuple[Size, ...] | None:
    """The lists of `--sizes`, numbers cut into each number of equal parts that `--tensors` says."""
    counts = [count("--tensors", tensors, word, MOST_TENSORS) for word in tensors.split(",")]
    if text is None:
        return None if counts == [1] else cut([10**6], counts)
    found: list[Size] = []
    for word in (part.strip() for part in text.split(",")):
        if word.lower() in LISTS:
            name = LISTS[word.lower()]
            found.append(Size(name, cases.LISTS[name]()))
        else:
            found += cut([count("--sizes", text, word, MOST)], counts)
    return tuple({size.name: size for size in found}.values())


def count(option: str, text: str, word: str, most: int) -> int:
    """A whole number from 1 to `most`, also as 1e6."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not 1 <= value <= most or value != int(value):
        names = f" or one of {', '.join(LISTS)}" if option == "--sizes" else ""
        raise InputError(
            f"{option} {text}: {word.strip()!r} is no whole number from 1 to {short(most)}{names}"
        )
    return int(value)


def cut(totals: list[int], counts: list[int]) -> tuple[Size, ...]:
    """Every total in every number of parts that differ by one element at most."""
    found = []
    for n, k in itertools.product(totals, counts):
        if k > n:
            raise InputError(f"--tensors {k}: {n} elements cannot be cut into more parts than {n}")
        found.append(Size(cut_name(n, k), [(n // k + (j < n % k),) for j in range(k)]))
    return tuple(found)


def cut_name(total: int, count: int) -> str:
    """What `cut` calls a total in so many parts."""
    return f"one tensor of {short(total)}" if count == 1 else f"{short(total)} in {count} tensors"


def short(n: int) -> str:
    """1e6 for 1000000, 3e8, 2.5e6; 1234 as it is."""
    text = f"{n:.3g}" if n < 1000 else f"{n:.1e}".replace(".0e", "e").replace("e+0", "e")
    text = text.replace("e+", "e")
    return text if float(text) == n else f"{n}"
