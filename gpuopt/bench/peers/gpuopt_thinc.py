"""gpuopt.thinc, the drop-in for Thinc's optimizer: on Thinc's arrays, called as Thinc's is."""

from collections.abc import Iterator

from gpuopt.bench.candidates import Candidate, Skipped
from gpuopt.bench.peers.thinc import COPIED, REMARKS, called
from gpuopt.bench.place import Place
from gpuopt.thinc import Optimizer


def candidates(place: Place) -> Iterator[Candidate | Skipped]:
    yield called("gpuopt.thinc", place, Optimizer, {**REMARKS, "RAdam": COPIED})
