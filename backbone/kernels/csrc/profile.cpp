// A trace of every kernel and operation, by libtorch's own profiler; a card's half of it comes from CUPTI, which libtorch opens itself.
#include <torch/csrc/autograd/profiler_kineto.h>

#include "shim.h"

using repghost::guarded;
namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

extern "C" {

char *repghost_profile_start(int cuda) {
  return guarded([&] {
    std::set<ActivityType> kinds{ActivityType::CPU};
    if (cuda) kinds.insert(ActivityType::CUDA);
    const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO, /*report_input_shapes=*/true,
                                                       /*profile_memory=*/true);
    profiler::prepareProfiler(config, kinds);
    profiler::enableProfiler(config, kinds, {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION});
  });
}

char *repghost_profile_stop(const char *path) {
  return guarded([&] { profiler::disableProfiler()->save(path); });
}

}  // extern "C"
