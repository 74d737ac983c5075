"""gpuopt.torch, the drop-in for torch.optim: on torch's tensors, its Python included."""

import inspect
from collections.abc import Iterator

from gpuopt.bench.candidates import Candidate, candidate
from gpuopt.bench.peers.tensors import parameters, share
from gpuopt.bench.place import Place
from gpuopt.torch import optimizers


def candidates(place: Place) -> Iterator[Candidate]:
    make = getattr(optimizers, place.problem.rule)
    known = inspect.signature(make).parameters
    settings = {name: x for name, x in place.problem.settings.items() if name in known}
    opt = make(parameters(place), **settings)

    def put() -> None:
        share(opt, place, make.keys.buffers)
        opt.release()  # what it has planned is of its own state

    yield candidate("gpuopt.torch", place, opt.step, share=put)
