// Where elements lie: the tables that every kernel reads, and an element's place in each array.
//
//     tensors   int64 (tensors, arrays + 2)   address of p, g, each state; its row in the
//                                             table of scalars; place in layouts or -1
//     chunks    int64 (chunks, 3)             tensor, first element, number of elements
//     layouts   int64 (any,)                  for a tensor that is not dense: number of axes, their
//                                             lengths, then each array's strides in elements

// Elements start to end of one tensor.
struct Chunk {
    const int64 *row;  // of tensors
    int64 start, end;
    int64 layout;  // its place in layouts, or -1: dense

    __device__ Chunk(const int64 *tensors, int64 columns, const int64 *chunk)
        : row(tensors + columns * chunk[0]),
          start(chunk[1]),
          end(chunk[1] + chunk[2]),
          layout(row[columns - 1])
    {
    }
};

// Where element i lies in each array, when all are dense in one order.
struct Dense {
    int64 i;

    __device__ int64 operator()(int) const { return i; }
};

// Where element i lies in COUNT arrays from array FIRST on, counted along the axes of a layout, the
// last one fastest.
template <int FIRST, int COUNT> struct Strided {
    int64 offset[COUNT] = {};

    __device__ Strided(const int64 *layout, int64 i)
    {
        const int64 axes = layout[0];
        uint64 rest = i;
#pragma unroll 1  // a division is long code, and needs more registers than all else together
        for (int64 axis = axes; axis > 0; --axis) {
            const uint64 length = layout[axis];
            const int64 place = rest % length;
            rest /= length;
#pragma unroll
            for (int k = 0; k < COUNT; ++k)
                offset[k] += place * layout[axis + axes * (1 + FIRST + k)];
        }
    }

    __device__ int64 operator()(int array) const { return offset[array - FIRST]; }
};
