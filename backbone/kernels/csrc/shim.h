// What all files of the shim share: errors as text that Rust frees, and lists of tensors from arrays of handles.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstring>
#include <exception>
#include <vector>

namespace repghost {

// Runs `body`; null, or what went wrong.
template <typename F>
char *guarded(F &&body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  }
}

inline std::vector<at::Tensor> list(at::Tensor *const *tensors, size_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (size_t i = 0; i < n; ++i) out.push_back(*tensors[i]);
  return out;
}

}  // namespace repghost
