"""PyTorch's current CUDA streams, for a backend that has its own idea of what is current."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch

from gpuopt.backends.base import Backend


@contextmanager
def on_torchs_streams(backend: Backend, devices: Sequence[int]) -> Iterator[None]:
    """What the backend launches inside on these devices is in order with torch's current streams.

    A backend that cannot launch on another library's stream uses the default one, which is torch's
    as well; where another is current, the two wait for each other. The host waits for nothing.
    """
    with ExitStack() as stack:
        for device in devices:
            current = torch.cuda.current_stream(device)
            if backend.takes_streams:
                stack.enter_context(backend.on_stream(device, current.cuda_stream))
            elif current != torch.cuda.default_stream(device):
                torch.cuda.default_stream(device).wait_stream(current)
                stack.callback(current.wait_stream, torch.cuda.default_stream(device))
        yield
