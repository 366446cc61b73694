// The simulated device as libtorch sees it: guard (devices, streams, events) and hooks (is there CUDA, how much).
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <array>

#include "sim.h"

namespace sim {

namespace {

thread_local std::array<c10::StreamId, MAX_DEVICES> stream_of{};

// There is one queue, which is always empty: an operation is done when it returns. What a host may not rely on are copies in flight,
// and those land when it waits for anything.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::kCUDA; }
  c10::Device getDevice() const override { return {c10::kCUDA, current}; }
  void uncheckedSetDevice(c10::Device d) const noexcept override {
    if (d.has_index()) current = d.index();
  }
  void setDevice(c10::Device d) const override {
    TORCH_CHECK(d.is_cuda() && d.index() < devices, "CUDA error: invalid device ordinal");
    uncheckedSetDevice(d);
  }
  c10::Device exchangeDevice(c10::Device d) const override {
    const auto before = getDevice();
    setDevice(d);
    return before;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return static_cast<c10::DeviceIndex>(devices); }

  static c10::Stream stream(c10::Device d, c10::StreamId id) {
    return c10::Stream(c10::Stream::UNSAFE, {c10::kCUDA, d.has_index() ? d.index() : current}, id);
  }
  c10::Stream getStream(c10::Device d) const override { return stream(d, stream_of[d.has_index() ? d.index() : current]); }
  c10::Stream getDefaultStream(c10::Device d) const override { return stream(d, 0); }
  c10::Stream getNewStream(c10::Device d, int) const override {
    static std::atomic<c10::StreamId> next{1};
    return stream(d, next++);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device d, bool) const override { return getNewStream(d, 0); }
  c10::Stream exchangeStream(c10::Stream s) const override {
    const auto before = getStream(s.device());
    stream_of[s.device_index()] = s.id();
    return before;
  }
  void *getStreamNativeHandle(const c10::Stream) const override { return nullptr; }

  void record(void **event, const c10::Stream &, const c10::DeviceIndex, const c10::EventFlag) const override { *event = &stream_of; }
  void block(void *, const c10::Stream &) const override {}
  bool queryEvent(void *) const override { return arrive(), true; }
  bool queryStream(const c10::Stream &) const override { return arrive(), true; }
  void synchronizeStream(const c10::Stream &) const override { crossing(Crossing::Wait, "stream", 0, true); }
  void synchronizeEvent(void *) const override { crossing(Crossing::Wait, "event", 0, true); }
  void synchronizeDevice(const c10::DeviceIndex) const override { crossing(Crossing::Wait, "device", 0, true); }
  double elapsedTime(void *, void *, const c10::DeviceIndex) const override { return 0; }
};

struct Hooks final : at::CUDAHooksInterface {
  explicit Hooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasCUDART() const override { return true; }
  long versionCUDART() const override { return 13000; }
  std::string showConfig() const override { return "simulated device"; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return static_cast<c10::DeviceIndex>(devices); }
  int getNumGPUs() const override { return devices; }
  c10::DeviceIndex current_device() const override { return current; }
  c10::DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(c10::DeviceIndex d) const override { guard()->setDevice({c10::kCUDA, d}); }
  c10::DeviceIndex exchangeDevice(c10::DeviceIndex d) const override { return guard()->exchangeDevice({c10::kCUDA, d}).index(); }
  c10::DeviceIndex maybeExchangeDevice(c10::DeviceIndex d) const override { return d < 0 ? current : exchangeDevice(d); }
  bool isPinnedPtr(const void *p) const override { return is_pinned(p); }
  c10::Allocator *getPinnedMemoryAllocator() const override { return &pinned_memory(); }
  c10::Allocator *getCUDADeviceAllocator() const override { return &device_memory(); }
  c10::Device getDeviceFromPtr(void *p) const override {
    TORCH_CHECK(is_device_address(p), "The specified pointer resides on host memory and is not registered with any CUDA device.");
    return {c10::kCUDA, static_cast<c10::DeviceIndex>(device_of(p))};
  }
  const at::Generator &getDefaultGenerator(c10::DeviceIndex d) const override {
    static auto *all = new std::array<at::Generator, MAX_DEVICES>();
    auto &own = all->at(d < 0 ? current : d);
    if (!own.defined()) own = at::make_generator<at::CPUGeneratorImpl>();
    return own;
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return at::make_generator<at::CPUGeneratorImpl>(); }
  void deviceSynchronize(c10::DeviceIndex) const override { crossing(Crossing::Wait, "device", 0, true); }
};

}  // namespace

const c10::impl::DeviceGuardImplInterface *guard() {
  static auto *guard = new Guard;
  return guard;
}

at::Generator generator(int device) { return at::detail::getCUDAHooks().getDefaultGenerator(static_cast<c10::DeviceIndex>(device)); }

bool install_hooks() {
  at::CUDAHooksRegistry()->Register("CUDAHooks", [](at::CUDAHooksArgs args) -> std::unique_ptr<at::CUDAHooksInterface> {
    return std::make_unique<Hooks>(args);
  });
  if (at::detail::getCUDAHooks().deviceCount() != devices) return false;
  for (int i = 0; i < devices; ++i) generator(i);
  c10::SetAllocator(c10::kCUDA, &device_memory());
  c10::impl::registerDeviceGuard(c10::kCUDA, guard());
  return true;
}

}  // namespace sim
