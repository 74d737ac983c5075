"""How a sweep is spread over a GPU: size of a block, length of a chunk, number of blocks.

Pure functions of the device's number of multiprocessors and of the number of elements.
"""

# Threads in a block. A sweep shares nothing between threads, so a block only has to be small enough
# that several fit beside each other (a formula takes 40 to 80 registers a thread) and large enough
# to fill a multiprocessor with few of them.
BLOCK = 256

# 8 * 256 threads are what a multiprocessor holds at most (2048; 1024 or 1536 on some). Blocks that
# do not fit at once follow as others end, so a slow one does not hold the device up.
BLOCKS_PER_MULTIPROCESSOR = 8

# A chunk costs a block three reads that wait for each other (chunk, tensor, scalars), about as long
# as the sweep of 1000 elements. The longest chunk hides that; short ones share out a little work.
# Both are multiples of the elements in a 128-bit access, so chunks begin as aligned as tensors.
SHORTEST, LONGEST = 2048, 32768
CHUNKS_PER_BLOCK = 4  # as many at least, where elements allow: the last round is then a fourth


def chunk_length(elements: int, multiprocessors: int) -> int:
    """Elements in a chunk: a power of two from SHORTEST to LONGEST."""
    blocks = multiprocessors * BLOCKS_PER_MULTIPROCESSOR
    share = max(elements // (blocks * CHUNKS_PER_BLOCK), 1)
    return min(max(1 << (share.bit_length() - 1), SHORTEST), LONGEST)


def grid(chunks: int, multiprocessors: int) -> int:
    """Number of blocks for `chunks` chunks: block b takes chunks b, b + grid, b + 2 grid, ..."""
    return min(chunks, multiprocessors * BLOCKS_PER_MULTIPROCESSOR)
