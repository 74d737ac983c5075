"""A stand-in for CuPy in array code: NumPy's functions, for arrays that say they lie elsewhere.

Like CuPy's, its arrays do not turn into NumPy arrays by themselves, and do not mix with them.
`tests/without_gpu/cupy_stand_in.py` is the one for kernels.
"""

import sys
from types import ModuleType
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class Remote(NDArrayOperatorsMixin):
    """A NumPy array on another device."""

    __module__ = "cupy"

    def __init__(self, host: Any) -> None:
        self.host = np.asarray(host)

    shape = property(lambda self: self.host.shape)
    dtype = property(lambda self: self.host.dtype)
    ndim = property(lambda self: self.host.ndim)
    size = property(lambda self: self.host.size)
    T = property(lambda self: Remote(self.host.T))

    def get(self) -> np.ndarray:
        return self.host.copy()

    def __array__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use .get()")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if "out" in options:
            options["out"] = tuple(x.host for x in options["out"])
        return there(getattr(ufunc, method)(*map(here, inputs), **options))

    def __float__(self) -> float:
        return float(self.host)

    def __int__(self) -> int:
        return int(self.host)

    def __bool__(self) -> bool:
        return bool(self.host)

    def __len__(self) -> int:
        return len(self.host)

    def __getitem__(self, index: Any) -> Any:
        return Remote(self.host[here(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.host[here(index)] = here(value)

    def __getattr__(self, name: str) -> Any:
        return remotely(getattr(self.host, name))


def here(x: Any) -> Any:
    if isinstance(x, Remote):
        return x.host
    if isinstance(x, np.ndarray) and x.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    return type(x)(map(here, x)) if type(x) in (tuple, list) else x


def there(x: Any) -> Any:
    return Remote(x) if isinstance(x, np.ndarray | np.generic) else x


def remotely(function: Any) -> Any:
    """A NumPy function, from Remote arrays to Remote arrays."""

    def wrapped(*args: Any, **options: Any) -> Any:
        return there(function(*map(here, args), **{k: here(v) for k, v in options.items()}))

    return wrapped


class Module(ModuleType):
    ndarray = Remote

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        return remotely(found) if callable(found) and not isinstance(found, type) else found

    def array(self, x: Any, *args: Any, **options: Any) -> Remote:
        return Remote(np.array(x.host if isinstance(x, Remote) else x, *args, **options))

    asarray = array

    def asnumpy(self, x: Remote) -> np.ndarray:
        return x.get()


def installed(monkeypatch: Any) -> Module:
    """The stand-in in place of CuPy, for one test."""
    cupy = Module("cupy")
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy
