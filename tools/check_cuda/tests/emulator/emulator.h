// Runs CUDA source on the CPU: what the kernels use of CUDA, in C++. Blocks run one after another; the threads of a block are fibres that
// change places at __syncthreads(), so shared memory and barriers mean what they mean on a card. With `backwards` the threads run in the
// other order, which shows where a barrier is missing.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

using std::max;
using std::min;

#define __global__
#define __device__
#define __shared__ static

struct Index {
  unsigned x, y, z;
};

namespace emulator {

inline Index thread, block, threads, blocks;
inline ucontext_t scheduler;
inline std::vector<ucontext_t> fibres;
inline std::vector<bool> finished;
inline unsigned current;
inline void (*body)(void **);
inline void **arguments;

inline void barrier() { swapcontext(&fibres[current], &scheduler); }

inline void run_fibre() {
  body(arguments);
  finished[current] = true;
  swapcontext(&fibres[current], &scheduler);
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void **values, std::index_sequence<I...>) {
  kernel(*static_cast<std::remove_reference_t<A> *>(values[I])...);
}

// Runs every block of the grid. `enter` unpacks the arguments and calls the kernel.
inline void launch(void (*enter)(void **), const unsigned *grid, unsigned count, void **values, bool backwards) {
  constexpr size_t STACK = 1 << 16;
  static std::vector<char> stacks;
  stacks.resize(STACK * count);
  fibres.resize(count);
  body = enter;
  arguments = values;
  threads = {count, 1, 1};
  blocks = {grid[0], grid[1], grid[2]};
  for (unsigned z = 0; z < grid[2]; ++z)
    for (unsigned y = 0; y < grid[1]; ++y)
      for (unsigned x = 0; x < grid[0]; ++x) {
        block = {x, y, z};
        finished.assign(count, false);
        for (unsigned t = 0; t < count; ++t) {
          getcontext(&fibres[t]);
          fibres[t].uc_stack.ss_sp = &stacks[STACK * t];
          fibres[t].uc_stack.ss_size = STACK;
          fibres[t].uc_link = nullptr;
          makecontext(&fibres[t], run_fibre, 0);
        }
        for (bool running = true; running;) {
          running = false;
          for (unsigned i = 0; i < count; ++i) {
            current = backwards ? count - 1 - i : i;
            if (finished[current]) continue;
            thread = {current, 0, 0};
            swapcontext(&scheduler, &fibres[current]);
            running |= !finished[current];
          }
        }
      }
}

}  // namespace emulator

#define threadIdx emulator::thread
#define blockIdx emulator::block
#define blockDim emulator::threads
#define gridDim emulator::blocks
#define __syncthreads emulator::barrier

// The entry of a kernel that a test calls.
#define KERNEL(name)                                                                                                         \
  template <class... A>                                                                                                      \
  void enter_##name(void (*kernel)(A...), const unsigned *grid, unsigned count, void **values, bool backwards) {             \
    static void (*held)(A...) = kernel;                                                                                      \
    emulator::launch([](void **v) { emulator::call(held, v, std::index_sequence_for<A...>{}); }, grid, count, values, backwards); \
  }                                                                                                                          \
  extern "C" __attribute__((visibility("default"))) void emulate_##name(const unsigned *grid, unsigned count, void **values,  \
                                                                        int backwards) {                                     \
    enter_##name(name, grid, count, values, backwards != 0);                                                                 \
  }

inline int __float_as_int(float x) { int r; memcpy(&r, &x, 4); return r; }
inline unsigned __float_as_uint(float x) { unsigned r; memcpy(&r, &x, 4); return r; }
inline float __int_as_float(int x) { float r; memcpy(&r, &x, 4); return r; }
inline float __uint_as_float(unsigned x) { float r; memcpy(&r, &x, 4); return r; }
using std::sqrt;
inline int atomicMax(int *at, int value) { int old = *at; *at = std::max(old, value); return old; }

inline float float_of_half(unsigned short bits) {
  const float sign = bits & 0x8000 ? -1.0f : 1.0f;
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  if (exponent == 31) return mantissa ? NAN : sign * INFINITY;
  return sign * (exponent ? std::ldexp(1024.0f + mantissa, exponent - 25) : std::ldexp((float)mantissa, -24));
}

// To the nearest, ties to even.
inline unsigned short half_of_float(float value) {
  const unsigned short sign = std::signbit(value) ? 0x8000 : 0;
  const float x = std::fabs(value);
  if (x != x) return 0x7e00;
  if (x >= 65520.0f) return sign | 0x7c00;
  if (x < 6.103515625e-5f) return sign | (unsigned short)std::nearbyint(std::ldexp(x, 24));
  const unsigned bits = __float_as_uint(x);
  return sign | (unsigned short)((bits + 0xfff + (bits >> 13 & 1) >> 13) - (112 << 10));
}
