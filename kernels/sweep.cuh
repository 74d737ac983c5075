// The GPU sweep: one pass over the chunks of all tensors of a signature, in one launch.
//
// A sweep visits elements and knows nothing of optimizers. The part between the two `formula` marks
// is plain gradient descent, so that this file compiles by itself; `gpuopt.lowering.cuda` prints
// every other rule in its place, and puts the included files in: CuPy's cache of compiled kernels is
// keyed by the text that it is given, and would not see that an included file has changed.
//
//     tensors   int64 (tensors, ARRAYS + 2)   address of p, g, each state; row of table; layout or -1
//     chunks    int64 (chunks, 3)             tensor, first element, number of elements
//     layouts   int64 (any,)                  for a tensor that is not dense: number of axes, their
//                                             lengths, then each array's strides in elements
//     table     real (rows, SCALARS)          a step's scalars

#include "math.cuh"
#include "memory.cuh"

// --- formula ---
using real = float;
constexpr int THREADS = 256, ARRAYS = 2, SCALARS = 1;

struct Formula {
    real s_lr;

    explicit __device__ Formula(const real *row)
        : s_lr(row[0])
    {
    }

    __device__ void operator()(real &p, real g) const
    {
        const real t0 = s_lr * g;
        const real t1 = p - t0;
        p = t1;
    }
};

struct Arrays {
    float *p;
    const float *g;

    explicit __device__ Arrays(const int64 *row)
        : p(reinterpret_cast<float *>(row[0])),
          g(reinterpret_cast<const float *>(row[1]))
    {
    }

    template <int N> __device__ bool all_aligned(int64 start) const
    {
        return aligned<N>(p + start) &&
               aligned<N>(g + start);
    }
};

template <int N> struct Lanes {
    Pack<real, N> p, g;

    template <class Place> __device__ void load(const Arrays &arrays, const Place &place)
    {
        p.load(arrays.p + place(0));
        g.load(arrays.g + place(1));
    }

    __device__ void update(const Formula &formula)
    {
#pragma unroll
        for (int lane = 0; lane < N; ++lane)
            formula(p.x[lane], g.x[lane]);
    }

    template <class Place> __device__ void store(const Arrays &arrays, const Place &place) const
    {
        p.store(arrays.p + place(0));
    }
};
// --- end of formula ---

// ---- kernel ----

constexpr int WIDTH = 16 / sizeof(real);  // elements in a 128-bit access
constexpr int FLIGHT = 2;                 // packs that a thread loads before it stores the first

// Where element i lies in each array, when all are dense in one order.
struct Dense {
    int64 i;

    __device__ int64 operator()(int) const { return i; }
};

// Where element i lies, counted along the axes of a layout, the last one fastest.
struct Strided {
    int64 offset[ARRAYS] = {};

    __device__ Strided(const int64 *layout, int64 i)
    {
        const int64 axes = layout[0];
        uint64 rest = i;
        for (int64 axis = axes; axis > 0; --axis) {
            const uint64 length = layout[axis];
            const int64 place = rest % length;
            rest /= length;
#pragma unroll
            for (int array = 0; array < ARRAYS; ++array)
                offset[array] += place * layout[axis + axes * (1 + array)];
        }
    }

    __device__ int64 operator()(int array) const { return offset[array]; }
};

// Elements start to end of dense arrays, N at a time; end - start is a multiple of N, and every
// array is aligned for N at start.
template <int N>
__device__ void sweep_dense(const Arrays &arrays, const Formula &formula, int64 start, int64 end)
{
    const int64 stride = int64(blockDim.x) * N;
    int64 i = start + int64(threadIdx.x) * N;
    for (; i + (FLIGHT - 1) * stride < end; i += FLIGHT * stride) {
        Lanes<N> lanes[FLIGHT];
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) lanes[k].load(arrays, Dense{i + k * stride});
#pragma unroll
        for (int k = 0; k < FLIGHT; ++k) {
            lanes[k].update(formula);
            lanes[k].store(arrays, Dense{i + k * stride});
        }
    }
    for (; i < end; i += stride) {
        Lanes<N> lanes;
        lanes.load(arrays, Dense{i});
        lanes.update(formula);
        lanes.store(arrays, Dense{i});
    }
}

__device__ void sweep_strided(const Arrays &arrays, const Formula &formula, const int64 *layout,
                              int64 start, int64 end)
{
    for (int64 i = start + threadIdx.x; i < end; i += blockDim.x) {
        const Strided place(layout, i);
        Lanes<1> lanes;
        lanes.load(arrays, place);
        lanes.update(formula);
        lanes.store(arrays, place);
    }
}

// ---- entry ----

// Any grid covers all chunks: block b takes chunks b, b + gridDim.x, and so on.
extern "C" __global__ void __launch_bounds__(THREADS)
    sweep(const int64 *tensors, const int64 *chunks, int64 count, const int64 *layouts,
          const real *table)
{
    for (int64 c = blockIdx.x; c < count; c += gridDim.x) {
        const int64 *chunk = chunks + 3 * c;
        const int64 *row = tensors + (ARRAYS + 2) * chunk[0];
        const int64 start = chunk[1], end = start + chunk[2];
        const Arrays arrays(row);
        const Formula formula(table + SCALARS * row[ARRAYS]);
        const int64 layout = row[ARRAYS + 1];
        if (layout >= 0) {
            sweep_strided(arrays, formula, layouts + layout, start, end);
        } else if (arrays.all_aligned<WIDTH>(start)) {
            const int64 tail = end - (end - start) % WIDTH;
            sweep_dense<WIDTH>(arrays, formula, start, tail);
            sweep_dense<1>(arrays, formula, tail, end);
        } else {
            sweep_dense<1>(arrays, formula, start, end);
        }
    }
}
