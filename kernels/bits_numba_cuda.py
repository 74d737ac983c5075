"""Numbers as their bits, for the Numba CUDA kernels whose arrays hold 16-bit floats.

    as_bits(x), as_float(bits)   a float32 as uint32, and back

The functions in dtypes_numba.py are printed below these, and both into a kernel.
"""

# pyright: reportAttributeAccessIssue=false, reportRedeclaration=false

import numpy as np

from gpuopt.kernels.device_numba_cuda import cuda, device, simulated, types

# --- bits ---
uint16 = types.uint16

if simulated():

    def uint32(x):
        """An integer of Python's, that wraps around: NumPy would warn of it."""
        return int(x) & 0xFFFFFFFF

    def as_bits(x):
        return int(np.float32(x).view(np.uint32))

    def as_float(bits):
        return np.uint32(bits).view(np.float32)

else:
    int32, uint32 = types.int32, types.uint32
    float_as_int, int_as_float = cuda.libdevice.float_as_int, cuda.libdevice.int_as_float

    @device
    def as_bits(x):
        return uint32(float_as_int(x))

    @device
    def as_float(bits):
        return int_as_float(int32(bits))
