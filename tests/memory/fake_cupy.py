"""A stand-in for CuPy without a GPU, of which only the memory is real: a model of CuPy's pool.

Arrays compute with NumPy, but every one that owns memory takes a chunk of the pool, and gives it
back when it goes. Like CuPy's they are no NumPy arrays, and reductions give arrays.
"""

import contextlib
import sys
import weakref
from types import ModuleType, SimpleNamespace

import numpy as np

from gpuopt.memory.pool import Pool, PoolFull

__name__ = "cupy.fake"  # whoever asks where something comes from takes it for CuPy's
TOTAL, OTHERS = 2**30, 2**27  # bytes of the device, and of those what others have taken


class OutOfMemoryError(MemoryError):
    pass


hooks: dict[str, "MemoryHook"] = {}


class MemoryHook:
    name = "MemoryHook"

    def __enter__(self):
        if self.name in hooks:
            raise KeyError(f"memory hook {self.name} already exists")
        hooks[self.name] = self
        return self

    def __exit__(self, *error):
        del hooks[self.name]

    def malloc_postprocess(self, **about):
        pass

    def free_postprocess(self, **about):
        pass


class MemoryPool:
    """As cupy.cuda.MemoryPool, for one device and stream."""

    def __init__(self):
        self.limit, self.model = 0, Pool(TOTAL - OTHERS)

    def malloc(self, size, address):
        try:
            chunk = self.model.malloc(size)
        except PoolFull as error:
            tell("malloc", size=size, mem_size=-(-size // 512) * 512, mem_ptr=0)
            raise OutOfMemoryError(f"Out of memory allocating {size} bytes") from error
        tell("malloc", size=size, mem_size=chunk.size, mem_ptr=address if size else 0)
        return chunk

    def free(self, chunk, address):
        if chunk.size:
            self.model.free(chunk)
            tell("free", mem_size=chunk.size, mem_ptr=address)

    def used_bytes(self):
        return self.model.used

    def total_bytes(self):
        return self.model.total

    def free_bytes(self):
        return self.model.total - self.model.used

    def free_all_blocks(self):
        self.model.free_all_blocks()

    def get_limit(self):
        return self.limit

    def set_limit(self, size=None, fraction=None):
        self.limit = size
        self.model.limit = min(size or TOTAL, TOTAL - OTHERS)


def tell(event, **about):
    for hook in hooks.values():
        getattr(hook, f"{event}_postprocess")(device_id=0, pmem_id=1, **about)


pool = MemoryPool()


def bare(x):
    """Fake arrays, in containers as well, as NumPy's."""
    if isinstance(x, ndarray):
        return x.host
    return type(x)(map(bare, x)) if isinstance(x, (tuple, list)) else x


def dressed(x):
    """NumPy's arrays and scalars as fake arrays."""
    return ndarray(np.asarray(x)) if isinstance(x, (np.ndarray, np.generic)) else x


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    def __init__(self, host):
        self.host = host
        if host.base is None:
            address = host.__array_interface__["data"][0]
            chunk = pool.malloc(host.nbytes, address)
            weakref.finalize(host, pool.free, chunk, address)

    dtype = property(lambda self: self.host.dtype)
    shape = property(lambda self: self.host.shape)
    __cuda_array_interface__ = property(lambda self: self.host.__array_interface__)

    def get(self):
        return self.host.copy()

    def __dlpack_device__(self):
        return 2, 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out is not None:
            getattr(ufunc, method)(*bare(inputs), out=bare(out), **options)
            return out[0]
        return dressed(getattr(ufunc, method)(*bare(inputs), **options))

    def __getattr__(self, name):
        found = getattr(self.host, name)
        if callable(found):
            return lambda *args, **options: dressed(found(*bare(args), **options))
        return ndarray(found) if isinstance(found, np.ndarray) else found

    def __getitem__(self, index):
        return dressed(self.host[bare(index)])

    def __setitem__(self, index, value):
        self.host[bare(index)] = bare(value)

    def __len__(self):
        return len(self.host)

    def __deepcopy__(self, memo):
        return ndarray(self.host.copy())


class RandomState:
    """Its state can be neither read nor set, as CuPy's."""

    def __init__(self, seed=None):
        self._generator = np.random.default_rng(seed)

    def random_sample(self, size):
        return ndarray(self._generator.random(size))


class BitGenerator:
    def __init__(self, seed=None):
        self._state = ndarray(np.random.default_rng(seed).random(1))


class Generator:
    def __init__(self, bit_generator):
        self.bit_generator = bit_generator

    def random(self, size):
        state = self.bit_generator._state
        state += 1
        return ndarray(np.random.default_rng(int(state.host[0] * 2**30)).random(size))


for kind in (RandomState, BitGenerator, Generator):
    kind.__module__ = "cupy.random._generator"


def module():
    """A module that can stand in sys.modules as `cupy`."""
    cupy, pool.limit, pool.model = ModuleType("cupy"), 0, Pool(TOTAL - OTHERS)
    hooks.clear()
    states = {}
    cupy.random = SimpleNamespace(
        RandomState=RandomState,
        get_random_state=lambda: states.setdefault(0, RandomState()),
    )
    cupy.cuda = SimpleNamespace(
        Device=lambda: SimpleNamespace(id=0),
        MemoryHook=MemoryHook,
        get_allocator=lambda: pool.malloc,
        runtime=SimpleNamespace(memGetInfo=lambda: (TOTAL - OTHERS - pool.model.total, TOTAL)),
    )
    cupy.ndarray, cupy.get_default_memory_pool = ndarray, lambda: pool
    cupy.asarray = lambda x: ndarray(np.array(x))

    def other(name):
        function = getattr(np, name)
        return lambda *args, **options: dressed(function(*bare(args), **options))

    cupy.__getattr__ = other
    return cupy


@contextlib.contextmanager
def installed():
    before = sys.modules.get("cupy")
    sys.modules["cupy"] = module()
    try:
        yield sys.modules["cupy"]
    finally:
        del sys.modules["cupy"]
        if before is not None:
            sys.modules["cupy"] = before
