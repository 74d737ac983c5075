"""How a kernel is spread over a GPU: size of a block, packs in flight, chunks, number of blocks.

Pure functions of the device's own properties, of the compiler's report and of the number of
elements; docs/decisions.md has the tables behind the numbers.
"""

# Threads in a block. A sweep shares nothing between threads, so a block only has to be small enough
# that several fit beside each other (a formula takes 32 to 72 registers a thread) and large enough
# to fill a multiprocessor with few of them. The norm adds its threads as a tree: a power of two.
BLOCK = 256

# 8 * 256 threads are what a multiprocessor holds at most (2048; 1024 or 1536 on some).
BLOCKS_PER_MULTIPROCESSOR = 8

# A chunk costs a block three reads that wait for each other (chunk, tensor, scalars), about as long
# as the sweep of 1000 elements. The longest chunk hides that; short ones share out a little work.
# Both are multiples of the elements in a 128-bit access, so chunks begin as aligned as tensors.
SHORTEST, LONGEST = 2048, 32768
CHUNKS_PER_BLOCK = 4  # as many at least, where elements allow: the last round is then a fourth

# A thread must have as many bytes on their way that those of all resident threads cover what the
# memory delivers in one latency; more only costs registers, and with them resident threads.
BYTES_IN_FLIGHT = 64

# Registers are given to warps of 32 threads in units of 256.
REGISTER_UNIT = 8


def flight(pack: int) -> int:
    """Packs that a thread loads before it uses the first: a power of two.

    `pack` is the bytes of one pack of every array: 16 each, where storage is as wide as arithmetic.
    """
    wanted = -(-BYTES_IN_FLIGHT // pack)
    return 1 << (wanted - 1).bit_length()


def resident(registers: int, threads: int, register_file: int) -> int:
    """Blocks of a kernel that run on a multiprocessor at once.

    `registers` is the compiled kernel's, a thread; `threads` and `register_file` are what one
    multiprocessor of the device has.
    """
    given = -(-registers // REGISTER_UNIT) * REGISTER_UNIT
    return max(min(threads, register_file // given) // BLOCK, 1)


def chunk_length(elements: int, multiprocessors: int) -> int:
    """Elements in a chunk: a power of two from SHORTEST to LONGEST.

    It depends on no compiler: the norm's bits depend on how gradients are cut.
    """
    blocks = multiprocessors * BLOCKS_PER_MULTIPROCESSOR
    share = max(elements // (blocks * CHUNKS_PER_BLOCK), 1)
    return min(max(1 << (share.bit_length() - 1), SHORTEST), LONGEST)


def grid(chunks: int, multiprocessors: int, blocks: int = BLOCKS_PER_MULTIPROCESSOR) -> int:
    """Number of blocks for `chunks` chunks: block b takes chunks b, b + grid, b + 2 grid, ...

    `blocks` is how many are resident on a multiprocessor: all run at once and end together, where
    more would leave a second round that fills the device only in part.
    """
    return min(chunks, multiprocessors * blocks)
