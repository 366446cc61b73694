// Operations on lists of tensors, one launch for hundreds of them. tch binds none: its generator leaves lists that return nothing out.
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/core/grad_mode.h>

#include "shim.h"

using repghost::guarded;
using repghost::list;

extern "C" {

char *repghost_lists_lerp(at::Tensor *const *to, at::Tensor *const *from, size_t n, double weight) {
  return guarded([&] {
    at::NoGradGuard off;
    at::_foreach_lerp_(list(to, n), list(from, n), weight);
  });
}

char *repghost_lists_copy(at::Tensor *const *to, at::Tensor *const *from, size_t n) {
  return guarded([&] {
    at::NoGradGuard off;
    at::_foreach_copy_(list(to, n), list(from, n));
  });
}

char *repghost_lists_add(at::Tensor *const *to, at::Tensor *const *from, size_t n) {
  return guarded([&] {
    at::NoGradGuard off;
    at::_foreach_add_(list(to, n), list(from, n));
  });
}

char *repghost_lists_mul(at::Tensor *const *tensors, size_t n, double factor) {
  return guarded([&] {
    at::NoGradGuard off;
    at::_foreach_mul_(list(tensors, n), factor);
  });
}

char *repghost_lists_mul_tensor(at::Tensor *const *tensors, size_t n, const at::Tensor *factor) {
  return guarded([&] {
    at::NoGradGuard off;
    at::_foreach_mul_(list(tensors, n), *factor);
  });
}

// Euclidean norm over all tensors together, a scalar on their device.
char *repghost_lists_norm(at::Tensor *const *tensors, size_t n, at::Tensor **out) {
  return guarded([&] {
    at::NoGradGuard off;
    *out = new at::Tensor(at::linalg_vector_norm(at::stack(at::_foreach_norm(list(tensors, n), 2))));
  });
}

char *repghost_fused_sgd(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *velocities, size_t n, double lr,
                         double weight_decay, double momentum, int nesterov, int first) {
  return guarded([&] {
    at::NoGradGuard off;
    const auto buffers = momentum == 0.0 ? std::vector<at::Tensor>{} : list(velocities, n);
    at::_fused_sgd_(list(params, n), list(grads, n), buffers, weight_decay, momentum, lr, /*dampening=*/0.0, nesterov,
                    /*maximize=*/false, first, std::nullopt, std::nullopt);
  });
}

// `steps` is the number of updates, this one included, as a float on the device.
char *repghost_fused_adamw(at::Tensor *const *params, at::Tensor *const *grads, at::Tensor *const *first, at::Tensor *const *second,
                           size_t n, const at::Tensor *steps, double lr, double beta1, double beta2, double weight_decay, double eps) {
  return guarded([&] {
    at::NoGradGuard off;
    at::_fused_adamw_(list(params, n), list(grads, n), list(first, n), list(second, n), {}, std::vector<at::Tensor>(n, *steps), lr, beta1,
                      beta2, weight_decay, eps, /*amsgrad=*/false, /*maximize=*/false, std::nullopt, std::nullopt);
  });
}

}  // extern "C"
