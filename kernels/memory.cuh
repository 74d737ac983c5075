// Memory access: elements move between global memory and registers in packs, and change their type
// on the way.

using int64 = long long;
using uint64 = unsigned long long;

// Tell the compiler that an address from a table points into global memory. It could not know, and
// would print accesses that look up at run time which kind of memory they reach.
template <class Storage> __device__ void assume_global(Storage *at)
{
    __builtin_assume(__isGlobal(at));
}

// N elements as they are stored; one load or store moves all of them.
template <class Storage, int N> struct alignas(N * sizeof(Storage)) Stored {
    Storage x[N];
};

// N elements in registers, as the arithmetic type: storage is converted on load and on store.
template <class Real, int N> struct Pack {
    Real x[N];

    template <class Storage> __device__ void load(const Storage *at)
    {
        assume_global(at);
        const Stored<Storage, N> stored = *reinterpret_cast<const Stored<Storage, N> *>(at);
#pragma unroll
        for (int lane = 0; lane < N; ++lane) x[lane] = Real(stored.x[lane]);
    }

    template <class Storage> __device__ void store(Storage *at) const
    {
        Stored<Storage, N> stored;
#pragma unroll
        for (int lane = 0; lane < N; ++lane) stored.x[lane] = Storage(x[lane]);
        assume_global(at);
        *reinterpret_cast<Stored<Storage, N> *>(at) = stored;
    }
};

template <int N, class Storage> __device__ bool aligned(const Storage *at)
{
    return reinterpret_cast<uint64>(at) % sizeof(Stored<Storage, N>) == 0;
}
