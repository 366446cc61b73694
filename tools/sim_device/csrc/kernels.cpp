// Kernels of the simulated device: one for all operators that a card has. It checks devices as a card does, counts, and runs the CPU's
// kernel on aliases of its tensors, so that results are the CPU's bit for bit.
#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "operators.h"
#include "sim.h"

namespace sim {

namespace {

// What is known of an operator.
struct Operator {
  std::string name;
  bool scalars_pass, reads_scalar, reads_size, takes_indices, is_view;
  int generator;  // number of that argument, or -1
};
std::unordered_map<const c10::FunctionSchema *, Operator> operators;  // filled once

bool on_device(const at::Tensor &t) { return t.defined() && t.is_cuda(); }

// A backend's kernel runs below autograd and autocast.
struct Below {
  at::AutoDispatchBelowADInplaceOrView autograd;
  c10::impl::ExcludeDispatchKeyGuard autocast{c10::autocast_dispatch_keyset};
};

// The tensors of one call, there and back. A device storage has one CPU storage over the same memory, so that views and overlaps stay
// what they are.
class Call {
 public:
  int device = -1;

  at::Tensor to_cpu(const at::Tensor &t) {
    if (!on_device(t)) return t;
    TORCH_CHECK(t.layout() == c10::kStrided, "simulated device: only strided tensors");
    for (const auto &pair : pairs)
      if (pair.device.is_same(t)) return pair.cpu;
    pairs.push_back({t, over(to_cpu(t.storage()), t, c10::DispatchKey::CPU)});
    return pairs.back().cpu;
  }

  c10::Storage to_cpu(const c10::Storage &s) {
    for (const auto &[device, cpu] : storages)
      if (device.unsafeGetStorageImpl() == s.unsafeGetStorageImpl()) return cpu;
    auto *keep = new c10::Storage(s);
    c10::DataPtr data(host_address(s.mutable_data()), keep, [](void *k) { delete static_cast<c10::Storage *>(k); }, c10::Device(c10::kCPU));
    c10::Storage cpu(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), s.nbytes(), std::move(data),
                                                           c10::GetAllocator(c10::kCPU), /*resizable=*/true));
    storages.emplace_back(s, cpu);
    return cpu;
  }

  // An output: an argument itself, or a tensor over an argument's memory or over new memory.
  at::Tensor to_device(const at::Tensor &t) {
    if (!t.defined() || on_device(t)) return t;
    for (const auto &pair : pairs)
      if (pair.cpu.is_same(t)) return pair.device;
    return over(to_device(t.storage()), t, c10::DispatchKey::CUDA);
  }

  // Whatever the kernel resized, moved or set anew on an alias holds for the device's tensor too.
  void settle() {
    for (auto &[device_tensor, cpu] : pairs) {
      auto *impl = device_tensor.unsafeGetTensorImpl();
      const auto now = cpu.storage();
      const auto home = to_device(now);
      if (home.unsafeGetStorageImpl() != device_tensor.storage().unsafeGetStorageImpl()) impl->set_storage_keep_dtype(home);
      if (now.mutable_data() != host_address(home.mutable_data()) || now.nbytes() != home.nbytes()) {
        auto *storage = home.unsafeGetStorageImpl();
        storage->set_data_ptr_noswap(device_pointer(now.mutable_data(), now.nbytes(), std::make_shared<c10::Storage>(now), device));
        storage->set_nbytes(now.nbytes());
      }
      if (impl->sizes() != cpu.sizes() || impl->strides() != cpu.strides() || impl->storage_offset() != cpu.storage_offset())
        impl->set_sizes_and_strides(cpu.sizes(), cpu.strides(), cpu.storage_offset());
    }
  }

 private:
  struct Pair {
    at::Tensor device, cpu;
  };
  std::vector<Pair> pairs;
  std::vector<std::pair<c10::Storage, c10::Storage>> storages;  // the device's and the CPU's

  c10::Storage to_device(const c10::Storage &s) {
    for (const auto &[device_storage, cpu] : storages)
      if (cpu.unsafeGetStorageImpl() == s.unsafeGetStorageImpl()) return device_storage;
    auto data = device_pointer(s.mutable_data(), s.nbytes(), std::make_shared<c10::Storage>(s), device);
    c10::Storage made(c10::make_intrusive<c10::StorageImpl>(c10::StorageImpl::use_byte_size_t(), s.nbytes(), std::move(data),
                                                            &device_memory(), /*resizable=*/true));
    storages.emplace_back(made, s);
    return made;
  }

  static at::Tensor over(c10::Storage storage, const at::Tensor &like, c10::DispatchKey key) {
    auto t = at::detail::make_tensor<c10::TensorImpl>(std::move(storage), c10::DispatchKeySet(key), like.dtype());
    auto *impl = t.unsafeGetTensorImpl();
    impl->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
    if (like.unsafeGetTensorImpl()->is_wrapped_number()) impl->set_wrapped_number(true);
    return t;
  }
};

// Applies `f` to every tensor of a value, in place.
template <typename F>
void each_tensor(c10::IValue &v, F &&f) {
  if (v.isTensor()) {
    v = f(v.toTensor());
  } else if (v.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor &t : v.toTensorList()) list.push_back(f(t));
    v = std::move(list);
  } else if (v.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const auto &t : v.toOptionalTensorVector()) list.push_back(t ? std::optional<at::Tensor>(f(*t)) : std::nullopt);
    v = std::move(list);
  }
}

// Lists may be copied between host and device; one tensor after the other, as CUDA's slow path does.
bool copies_across(const Operator &info, torch::jit::Stack *stack, size_t first) {
  if (info.name != "_foreach_copy_") return false;
  auto to = (*stack)[first].toTensorVector(), from = (*stack)[first + 1].toTensorVector();
  bool crosses = false;
  for (const auto *list : {&to, &from})
    for (const auto &t : *list) crosses |= !on_device(t);
  if (crosses)
    for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i], (*stack)[first + 2].toBool());
  return crosses;
}

void kernel(const c10::OperatorHandle &op, torch::jit::Stack *stack) {
  const auto &schema = op.schema();
  const auto &info = operators.at(&schema);
  const size_t arguments = schema.arguments().size(), first = stack->size() - arguments;
  if (copies_across(info, stack, first)) return torch::jit::drop(*stack, arguments);

  Call call;
  for (size_t i = 0; i < arguments; ++i) {
    each_tensor((*stack)[first + i], [&](const at::Tensor &t) {
      if (on_device(t)) {
        if (call.device < 0) call.device = t.device().index();
        TORCH_CHECK(call.device == t.device().index(), "Expected all tensors to be on the same device, but found at least two devices, cuda:",
                    call.device, " and ", t.device(), "! (in aten::", info.name, ")");
      }
      return t;
    });
  }
  const bool makes = call.device < 0;  // no tensor has a device: the operator makes one
  bool masked = false;
  for (size_t i = 0; i < arguments; ++i) {
    auto &value = (*stack)[first + i];
    const auto &argument = schema.arguments()[i];
    if (value.isDevice()) {
      if (makes) call.device = value.toDevice().has_index() ? value.toDevice().index() : current;
      value = c10::Device(c10::kCPU);
    } else if (value.isStorage() && value.toStorage().device_type() == c10::kCUDA) {
      value = call.to_cpu(value.toStorage());
    } else if (static_cast<int>(i) == info.generator && value.isNone()) {
      value = generator(call.device < 0 ? current : call.device);
    } else {
      const bool indices = info.takes_indices && value.isOptionalTensorList();
      const bool written = argument.alias_info() && argument.alias_info()->isWrite();
      each_tensor(value, [&](const at::Tensor &t) {
        if (indices && on_device(t)) masked |= t.scalar_type() == at::kBool || t.scalar_type() == at::kByte;
        if (!t.defined() || on_device(t) || makes) return call.to_cpu(t);
        if (indices) {  // taken to the device without a word
          crossing(Crossing::To, info.name + " (index)", t.nbytes(), true);
          return t;
        }
        TORCH_CHECK(t.is_cpu() && t.dim() == 0 && info.scalars_pass && !written,
                    "Expected all tensors to be on the same device, but got ", argument.name(), " is on ", t.device(),
                    ", different from other tensors on cuda:", call.device, " (when checking argument in method wrapper_CUDA_", info.name,
                    ")");
        return t;
      });
    }
  }
  if (call.device < 0) call.device = current;
  if (info.reads_scalar) crossing(Crossing::Item, info.name, 8, true);
  if (info.reads_size || masked) crossing(Crossing::Shape, info.name + (masked ? " (mask)" : ""), 8, true);
  if (!info.is_view) launched(info.name);
  {
    Below below;
    op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  }
  call.settle();
  const size_t returns = schema.returns().size();
  for (size_t i = stack->size() - returns; i < stack->size(); ++i)
    each_tensor((*stack)[i], [&](const at::Tensor &t) { return call.to_device(t); });
}

// Copies, which alone cross. A copy runs beside the host only from and to pinned memory, and where the host has nothing to convert.
at::Tensor &copy(at::Tensor &self, const at::Tensor &source, bool non_blocking) {
  if (self.numel() == 0) return self;
  const bool to = on_device(self), from = on_device(source);
  Call call;
  call.device = (to ? self : source).device().index();
  const auto run = [&](const at::Tensor &destination) {
    Below below;
    call.to_cpu(destination).copy_(call.to_cpu(source));
  };
  if (to && from) {
    launched(self.device() == source.device() ? "copy_" : "copy_ (peer)");
    run(self);
    return self;
  }
  const auto &host = to ? source : self;
  const bool plain = host.is_contiguous() && source.dtype() == self.dtype() && source.sizes() == self.sizes();
  const bool beside = non_blocking && plain && is_pinned(host.const_data_ptr());
  crossing(to ? Crossing::To : Crossing::From, "copy_", host.nbytes(), !beside);
  if (to || !beside) {
    run(self);
    if (beside) is_read_later(host.detach());
    return self;
  }
  at::Tensor value;
  {
    Below below;
    value = at::detail::empty_cpu(self.sizes(), self.scalar_type());
  }
  run(value);
  arrives_later(self.detach(), value);
  return self;
}

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> kind, std::optional<at::Layout>, std::optional<at::Device> device,
                 std::optional<bool> pin, std::optional<at::MemoryFormat> format) {
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  c10::OptionalDeviceGuard on(device);
  return at::detail::empty_generic(size, &device_memory(), c10::DispatchKeySet(c10::DispatchKey::CUDA), c10::dtype_or_default(kind), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<at::ScalarType> kind, std::optional<at::Layout>,
                         std::optional<at::Device> device, std::optional<bool> pin) {
  TORCH_CHECK(!pin.value_or(false), "Only dense CPU tensors can be pinned");
  c10::OptionalDeviceGuard on(device);
  return at::detail::empty_strided_generic(size, stride, &device_memory(), c10::DispatchKeySet(c10::DispatchKey::CUDA),
                                           c10::dtype_or_default(kind));
}

void record_stream(at::Tensor &, at::Stream) {}

std::unordered_set<std::string> words(const char *text) {
  std::istringstream in(text);
  std::unordered_set<std::string> set;
  for (std::string word; in >> word;) set.insert(word);
  return set;
}

// Kernels that are written above.
const std::unordered_set<std::string> OWN = {"copy_", "empty.memory_format", "empty_strided", "record_stream"};

}  // namespace

// Not one fallback for the whole backend: composite operators would win over it and fall into pieces, with other numbers and counts.
void register_kernels() {
  static auto *library = new torch::Library(torch::Library::IMPL, "aten", c10::DispatchKey::CUDA, __FILE__, __LINE__);
  const auto scalars_pass = words(SCALARS_PASS), cpu_only = words(CPU_ONLY), composite = words(COMPOSITE_ON_CPU);
  const auto size_readers = words(SIZE_READERS), views = words(VIEWS), own = OWN;
  const std::unordered_set<std::string> indexing = {"index", "index_put", "_index_put_impl", "_unsafe_index"};
  auto &dispatcher = c10::Dispatcher::singleton();
  for (const auto &name : dispatcher.getAllOpNames()) {
    if (name.name.rfind("aten::", 0) != 0) continue;
    const auto op = dispatcher.findOp(name);
    if (!op || !op->hasSchema()) continue;
    const std::string base = name.name.substr(6), full = base + (name.overload_name.empty() ? "" : "." + name.overload_name);
    if (own.count(full)) continue;
    const bool list = base.rfind("_foreach_", 0) == 0 && name.overload_name.find("out") == std::string::npos;
    const bool has_kernel = op->hasKernelForDispatchKey(c10::DispatchKey::CPU) && !cpu_only.count(base);
    if (!has_kernel && !list && !composite.count(base)) continue;
    auto stem = base;
    if (stem.back() == '_' && stem.compare(0, 2, "__") != 0) stem.pop_back();
    int generator = -1;
    const auto &arguments = op->schema().arguments();
    for (size_t i = 0; i < arguments.size(); ++i)
      if (arguments[i].type()->str() == "Generator?") generator = static_cast<int>(i);
    operators[&op->schema()] = {base, list || scalars_pass.count(stem) > 0, base == "_local_scalar_dense", size_readers.count(base) > 0,
                                indexing.count(stem) > 0, views.count(base) > 0, generator};
    library->impl(full.c_str(), torch::CppFunction::makeFromBoxedFunction<&kernel>());
  }
  library->impl("copy_", TORCH_FN(copy));
  library->impl("empty.memory_format", TORCH_FN(empty));
  library->impl("empty_strided", TORCH_FN(empty_strided));
  library->impl("record_stream", TORCH_FN(record_stream));
}

}  // namespace sim
