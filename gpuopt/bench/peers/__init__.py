"""The peers: who they are, what they need, and where they run. Each has a file of its own here,
whose `candidates(place)` yields what takes part, or is left out with the reason."""

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any, NamedTuple


class Peer(NamedTuple):
    """module: in this package. cpu, gpu: what must be installed for it to be measured there; None:
    it is not, for a peer that is made for the other."""

    module: str
    cpu: str | None
    gpu: str | None


PEERS = {
    "naive": Peer("naive", "numpy", "cupy"),
    "torch": Peer("torch", "torch", "torch"),
    "gpuopt.torch": Peer("gpuopt_torch", "torch", "torch"),
    "thinc": Peer("thinc", "thinc", "thinc"),
    "gpuopt.thinc": Peer("gpuopt_thinc", "thinc", "thinc"),
    "optax": Peer("optax", "optax", None),
    "bitsandbytes": Peer("bitsandbytes", None, "bitsandbytes"),
    "torchao": Peer("torchao", None, "torchao"),
}


def unavailable(name: str, on_gpu: bool = False) -> str | None:
    """Why a peer cannot run here, or None if it can. Imports nothing."""
    if name not in PEERS:
        return f"there is no such peer; there are {', '.join(PEERS)}"
    needs = PEERS[name].gpu if on_gpu else PEERS[name].cpu
    if needs is None:
        return f"it is measured on {'the CPU' if on_gpu else 'a GPU'} only"
    if importlib.util.find_spec(needs) is None:
        return f"{needs} is not installed"
    return None


def of(name: str, place: Any) -> Iterator[Any]:
    """What peer `name` has for the place's problem. A peer that raises is left out with what it
    said: the others go on."""
    from gpuopt.bench.candidates import Skipped

    reason = unavailable(name, place.problem.on_gpu)
    if reason:
        yield Skipped(name, reason)
        return
    try:
        module = importlib.import_module(f"gpuopt.bench.peers.{PEERS[name].module}")
        yield from module.candidates(place)
    except Exception as error:
        yield Skipped(name, f"{type(error).__name__}: {error}")
