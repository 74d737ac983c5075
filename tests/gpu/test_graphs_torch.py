"""Steps inside torch.cuda.graph: torch's capture, torch's tensors, on torch's own stream."""

import warnings

import cupy
import pytest

import gpuopt
from tests.gpu.tools import note
from tests.optional import optional

torch = optional("torch")
if not torch.cuda.is_available():
    pytest.skip("NOT TESTED: this PyTorch sees no GPU", allow_module_level=True)


def as_cupy(stream):
    """CuPy's view of a torch stream."""
    if hasattr(cupy.cuda.Stream, "from_external") and hasattr(stream, "__cuda_stream__"):
        return cupy.cuda.Stream.from_external(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cupy.cuda.ExternalStream(stream.cuda_stream, stream.device_index)


def make(options):
    generator = torch.Generator("cuda").manual_seed(3)
    shapes = [(33, 65), (7,), (70_001,)]
    params = [torch.randn(s, device="cuda", generator=generator) for s in shapes]
    grads = [torch.randn(s, device="cuda", generator=generator) for s in shapes]
    opt = gpuopt.AdamW(params, lr=0.01, backend="cupy")
    scaled = (
        {**options, "loss_scale": gpuopt.LossScaler(4.0)} if "loss_scale" in options else options
    )
    return params, grads, lambda: opt.step(grads, **scaled)


@pytest.mark.parametrize("mode", ["relaxed", "thread_local", "global"])
@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"loss_scale": True}], ids=str)
def test_replays_equal_eager_steps(mode, options):
    params, grads, step = make(options)
    others, other_grads, other_step = make(options)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), as_cupy(stream):
        step()
        other_step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, stream=stream, capture_error_mode=mode), as_cupy(stream):
            step()
    except Exception as error:
        note(
            "torch graph", mode=mode, options=str(options), error=f"{type(error).__name__}: {error}"
        )
        torch.cuda.synchronize()
        if mode == "relaxed":
            raise
        pytest.skip(f"CANNOT be captured in torch's {mode} mode: {error}")
    note("torch graph", mode=mode, options=str(options), error=None)
    for k in range(5):
        for g, other in zip(grads, other_grads, strict=True):
            g.add_(0.125 * k)
            other.add_(0.125 * k)
        torch.cuda.synchronize()
        graph.replay()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream), as_cupy(stream):
            other_step()
        torch.cuda.synchronize()
    for p, q in zip(params, others, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-7)
        if options:
            assert torch.equal(p, q)
