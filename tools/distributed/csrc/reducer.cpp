// Gradients that are added over processes in buckets, while the backward goes on where it is watched (DistributedDataParallel's scheme:
// Li et al., PyTorch Distributed, 2020).
#include "group.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <vector>

namespace {

struct Bucket {
  std::vector<size_t> members;
  int64_t length = 0;
  size_t missing = 0;
  at::Tensor flat;
  at::Tensor sent;
  c10::intrusive_ptr<c10d::Work> work;
};

struct State {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  std::vector<at::Tensor> parameters;
  std::vector<Bucket> buckets;
  std::vector<size_t> bucket;
  std::vector<int64_t> offset;
  std::vector<bool> given;
  bool half = false;
  bool active = false;
  size_t next = 0;
  std::string error;

  void begin() {
    for (auto &b : buckets) {
      // New storage each time: what is returned are views of it, which an optimizer may keep.
      b.flat = at::empty({b.length}, parameters[b.members[0]].options().requires_grad(false));
      b.missing = b.members.size();
      b.work.reset();
    }
    given.assign(parameters.size(), false);
    next = 0;
    error.clear();
    active = true;
  }

  at::Tensor slice(size_t i) {
    auto &b = buckets[bucket[i]];
    return b.flat.narrow(0, offset[i], parameters[i].numel()).view(parameters[i].sizes());
  }

  void give(size_t i, const at::Tensor &gradient) {
    if (given[i]) return;
    at::NoGradGuard guard;
    given[i] = true;
    if (gradient.defined()) {
      slice(i).copy_(gradient);
    } else {
      slice(i).zero_();
    }
    buckets[bucket[i]].missing--;
    // All processes send their buckets in one order.
    while (next < buckets.size() && buckets[next].missing == 0) {
      auto &b = buckets[next++];
      b.sent = half ? b.flat.to(at::kBFloat16) : b.flat;
      std::vector<at::Tensor> list{b.sent};
      b.work = gloo->allreduce(list);
    }
  }
};

}  // namespace

struct Reducer {
  std::shared_ptr<State> state;
  std::vector<std::pair<at::Tensor, unsigned>> hooks;
};

extern "C" {

// Buckets of `bytes` at most, from the last parameter to the first: about the order in which a backward reaches them.
char *repghost_reducer_new(Group *group, at::Tensor **parameters, size_t count, int64_t bytes, int half, Reducer **out) {
  return guarded([&] {
    auto state = std::make_shared<State>();
    state->gloo = group->gloo;
    state->half = half != 0;
    state->bucket.resize(count);
    state->offset.resize(count);
    for (size_t i = 0; i < count; i++) state->parameters.push_back(*parameters[i]);
    for (size_t i = count; i-- > 0;) {
      const auto &p = state->parameters[i];
      const auto fits = [&](const Bucket &b) {
        const auto &first = state->parameters[b.members[0]];
        return first.scalar_type() == p.scalar_type() && (b.length + p.numel()) * static_cast<int64_t>(p.element_size()) <= bytes;
      };
      if (state->buckets.empty() || !fits(state->buckets.back())) state->buckets.emplace_back();
      auto &b = state->buckets.back();
      state->bucket[i] = state->buckets.size() - 1;
      state->offset[i] = b.length;
      b.members.push_back(i);
      b.length += p.numel();
    }
    auto reducer = std::make_unique<Reducer>();
    reducer->state = state;
    for (size_t i = 0; i < count; i++) {
      auto &p = state->parameters[i];
      if (!p.requires_grad()) continue;
      std::weak_ptr<State> weak = state;
      const auto hook = p.register_hook([weak, i](at::Tensor gradient) {
        auto state = weak.lock();
        if (!state || !state->active || !state->error.empty()) return;
        try {
          state->give(i, gradient);
        } catch (const std::exception &e) {
          state->error = e.what();
        }
      });
      reducer->hooks.emplace_back(p, hook);
    }
    *out = reducer.release();
  });
}

void repghost_reducer_free(Reducer *reducer) {
  for (auto &[parameter, hook] : reducer->hooks) parameter.remove_hook(hook);
  delete reducer;
}

// From here on gradients are sent as a backward finds them.
char *repghost_reducer_watch(Reducer *reducer) {
  return guarded([&] { reducer->state->begin(); });
}

// Sends what was not sent yet (`gradients`, null where there is none), waits, and writes the sums into `out`.
char *repghost_reducer_finish(Reducer *reducer, at::Tensor **gradients, at::Tensor **out) {
  return guarded([&] {
    auto &state = *reducer->state;
    if (!state.active) state.begin();
    if (!state.error.empty()) {
      state.active = false;
      throw std::runtime_error(state.error);
    }
    const at::Tensor none;
    for (size_t i = state.parameters.size(); i-- > 0;) state.give(i, gradients[i] ? *gradients[i] : none);
    state.active = false;
    at::NoGradGuard guard;
    for (auto &b : state.buckets) {
      b.work->wait();
      if (state.half) b.flat.copy_(b.sent);
      b.work.reset();
      b.sent.reset();
    }
    for (size_t i = 0; i < state.parameters.size(); i++) out[i] = new at::Tensor(state.slice(i));
    for (auto &b : state.buckets) b.flat.reset();
  });
}

// How many buckets there are.
size_t repghost_reducer_buckets(Reducer *reducer) { return reducer->state->buckets.size(); }

}  // extern "C"
