// A node of libtorch's autograd graph whose backward is a Rust closure: what tch lacks (see src/custom_op.rs).
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <cstring>
#include <stdexcept>

extern "C" {
// Writes one owned gradient (or null for "none") an input; returns 0 on success.
typedef int (*repghost_backward)(void *closure, at::Tensor *grad, at::Tensor **grads, size_t inputs);
typedef void (*repghost_drop)(void *closure);
}

namespace {

struct RustNode : torch::autograd::Node {
  RustNode(void *closure, repghost_backward backward, repghost_drop drop) : closure(closure), backward(backward), drop(drop) {}
  ~RustNode() override { drop(closure); }

  torch::autograd::variable_list apply(torch::autograd::variable_list &&incoming) override {
    const size_t n = num_outputs();
    torch::autograd::variable_list result(n);
    if (incoming.empty() || !incoming[0].defined()) return result;
    std::vector<at::Tensor *> grads(n, nullptr);
    const int failed = backward(closure, &incoming[0], grads.data(), n);
    for (size_t i = 0; i < n; ++i) {
      if (grads[i] == nullptr) continue;
      result[i] = std::move(*grads[i]);
      delete grads[i];
    }
    if (failed) throw std::runtime_error("a backward written in Rust panicked");
    return result;
  }

  std::string name() const override { return "RustBackward"; }

  void *closure;
  repghost_backward backward;
  repghost_drop drop;
};

}  // namespace

// Makes `value` the output of a node with `inputs`, and takes the closure. Where no input needs a gradient, `value` stays a leaf.
// Returns null, or a message that the caller frees with `free`.
extern "C" char *repghost_attach(at::Tensor *value, at::Tensor **inputs, size_t n, void *closure, repghost_backward backward,
                                 repghost_drop drop) {
  std::shared_ptr<RustNode> node(new RustNode(closure, backward, drop), torch::autograd::deleteNode);
  try {
    std::vector<at::Tensor> list;
    list.reserve(n);
    for (size_t i = 0; i < n; ++i) list.push_back(*inputs[i]);
    if (torch::autograd::compute_requires_grad(list)) {
      node->set_next_edges(torch::autograd::collect_next_edges(list));
      torch::autograd::set_history(*value, node);
    }
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  }
}
