// The threads of a block take turns on the CPU, so that they can wait for each other.
//
// Each thread has a stack of its own and runs until its next barrier or its end; when all have,
// the next stage begins. Their order changes with every stage and block. A stage that lacks the
// barrier in its middle may still come out right in one of the two orders, so that kernels are tested
// with launches that begin forwards and with launches that begin backwards.

#include <cstring>
#include <memory>
#include <ucontext.h>
#include <vector>

// One block runs at a time, so its shared memory can be static. A section of their own gathers the
// variables, and the linker names its ends.
#define __shared__ static __attribute__((section("shim_shared")))
#define __syncthreads() shim::wait(__COUNTER__)  // a number for every barrier in the source
extern "C" char __start_shim_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_shim_shared[] __attribute__((weak, visibility("hidden")));

namespace shim {

constexpr int ENDED = -1, STACK = 1 << 16;

struct Fiber {
    std::unique_ptr<char[]> stack{new char[STACK]};
    ucontext_t start;
    std::jmp_buf resume;
    bool started;
    int at;  // the barrier that it waits at, or ENDED
};

static std::vector<Fiber> fibers;
static std::jmp_buf scheduler;
static void (*body)(void *);
static void *given;

// `noipa`: the compiler must not believe that threadIdx is the same after a call.
__attribute__((noipa)) void wait(int barrier)
{
    Fiber &self = fibers[threadIdx.x];
    self.at = barrier;
    if (!_setjmp(self.resume)) _longjmp(scheduler, 1);
}

// A thread of one block after another.
static void live()
{
    for (;;) {
        body(given);
        wait(ENDED);
    }
}

__attribute__((noipa)) static void run_to_barrier(unsigned thread)
{
    threadIdx.x = thread;
    Fiber &fiber = fibers[thread];
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.resume, 1);
    fiber.started = true;
    setcontext(&fiber.start);
}

static void prepare(unsigned block)
{
    if (fibers.size() < block) fibers = std::vector<Fiber>(block);
    for (Fiber &fiber : fibers) {
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.get();
        fiber.start.uc_stack.ss_size = STACK;
        fiber.started = false;
        makecontext(&fiber.start, live, 0);
    }
}

// Whether all threads of the block reached the same barriers. Its shared memory begins as NaN.
// `backwards`: the first stage begins with the last thread.
static bool run_block(unsigned block, bool backwards)
{
    std::memset(__start_shim_shared, 0xFF, __stop_shim_shared - __start_shim_shared);
    for (;; backwards = !backwards) {
        for (unsigned k = 0; k < block; ++k) run_to_barrier(backwards ? block - 1 - k : k);
        for (unsigned k = 1; k < block; ++k)
            if (fibers[k].at != fibers[0].at) return false;
        if (fibers[0].at == ENDED) return true;
    }
}

}  // namespace shim
