"""From a rule's NumPy formula to source code: trace it once, print it for C++ or for Numba."""
