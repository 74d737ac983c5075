"""Thinc's optimizer, with each call one fused pass over memory.

    from gpuopt.thinc import Adam          # instead of: from thinc.api import Adam

or by name in a config of Thinc or spaCy: `@optimizers = "gpuopt.Adam.v1"`. Numbers, schedules and
semantics are Thinc's (8.2 and later), but for what it gets wrong:

- RAdam is the paper's and PyTorch's: Thinc's counts from t = 2 and ignores lr_scale.
- beta1 = 0 runs Adam without momentum, where Thinc raises; beta2 = 0 with beta1 > 0 raises, where
  Thinc runs plain gradient descent. Both 0 is plain gradient descent, as in Thinc.
- Weights and gradients of any strides are updated where they lie, in float32 or float64.
- A call that raises has changed nothing, and its message names the key.
"""

try:
    import thinc  # noqa: F401
except ImportError as error:
    raise ImportError(f"gpuopt.thinc needs Thinc: pip install gpuopt[thinc] ({error})") from error

from gpuopt.thinc.optimizer import SGD, Adam, Optimizer, RAdam

__all__ = ["SGD", "Adam", "Optimizer", "RAdam"]
