// What Rust calls.
#include <ATen/detail/CUDAHooksInterface.h>

#include <cstring>
#include <mutex>

#include "sim.h"

extern "C" {

// Makes `n` simulated devices, once per process. Null, or what is wrong.
const char *sim_install(int n) {
  static std::mutex lock;
  static bool done = false;
  std::lock_guard<std::mutex> held(lock);
  if (done) return n == sim::devices ? nullptr : "installed already, with another number of devices";
  if (n < 1 || n > sim::MAX_DEVICES) return "1 to 8 devices can be simulated";
  if (at::CUDAHooksRegistry()->Has("CUDAHooks")) return "the real libtorch_cuda is loaded";
  sim::devices = n;
  if (!sim::install_hooks()) return "too late: libtorch has asked for CUDA before";
  sim::register_kernels();
  done = true;
  return nullptr;
}

void sim_reset() { sim::reset_counts(); }
void sim_counts(SimCounts *out) { *out = sim::counts(); }
void sim_raise_on_wait(int on) { sim::raise_on_wait = on != 0; }
// To be freed with `free`.
char *sim_log() { return strdup(sim::log().c_str()); }

}  // extern "C"
