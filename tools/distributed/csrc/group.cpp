// A store, and processes that add tensors by gloo: c10d as libtorch has it. Functions return null, or a message that Rust frees.
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <c10/util/Logging.h>

#include "group.h"

#include <algorithm>

namespace {

// A peer that is gone is an error of ours; c10d would print a warning with a C++ stack besides. (It does not read
// TORCH_CPP_LOG_LEVEL outside of Python.)
void without_warnings() {
  constexpr int error = 2;
  FLAGS_caffe2_log_level = std::max(FLAGS_caffe2_log_level, error);
}

}  // namespace

extern "C" {

char *repghost_group_connect(const char *host, int port, int rank, int size, int serves, long timeout_ms, const char *prefix, Group **out) {
  return guarded([&] {
    const auto timeout = std::chrono::milliseconds(timeout_ms);
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = serves != 0;
    options.numWorkers = size;
    options.waitWorkers = false;
    options.timeout = timeout;
    auto tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    auto store = c10::make_intrusive<c10d::PrefixStore>(prefix, tcp);
    store->setTimeout(timeout);
    auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    // PyTorch's variable: the network interface, where the host's name leads to another one.
    const char *interface = std::getenv("GLOO_SOCKET_IFNAME");
    gloo->devices.push_back(
        interface && *interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface, false)
                                : c10d::ProcessGroupGloo::createDefaultDevice(false));
    auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, gloo);
    without_warnings();
    *out = new Group{store, group};
  });
}

void repghost_group_free(Group *group) { delete group; }

char *repghost_group_all_reduce(Group *group, at::Tensor *tensor) {
  return guarded([&] {
    std::vector<at::Tensor> list{*tensor};
    group->gloo->allreduce(list)->wait();
  });
}

char *repghost_group_broadcast(Group *group, at::Tensor *tensor, int root) {
  return guarded([&] {
    std::vector<at::Tensor> list{*tensor};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    group->gloo->broadcast(list, options)->wait();
  });
}

// `out` holds as many rows of the tensor's shape as there are processes.
char *repghost_group_gather(Group *group, at::Tensor *tensor, at::Tensor *out) {
  return guarded([&] {
    std::vector<at::Tensor> list{*tensor};
    std::vector<std::vector<at::Tensor>> outputs{out->unbind(0)};
    group->gloo->allgather(outputs, list)->wait();
  });
}

char *repghost_store_set(Group *group, const char *key, const char *value) {
  return guarded([&] { group->store->set(key, std::string(value)); });
}

// The value of a key that is there, else null; the text is freed by Rust.
char *repghost_store_value(Group *group, const char *key) {
  try {
    without_warnings();
    if (!group->store->check({key})) return nullptr;
    const auto bytes = group->store->get(key);
    return strndup(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  } catch (const std::exception &) {
    return nullptr;
  }
}

}  // extern "C"
