// Memory of the simulated device: host memory under other addresses, pinned memory, and copies that are on their way.
#include <ATen/core/Tensor.h>

#include <cstring>
#include <map>
#include <mutex>
#include <string_view>

#include "sim.h"

namespace sim {

int devices = 1;
thread_local c10::DeviceIndex current = 0;

namespace {

constexpr uintptr_t MARK = uintptr_t(1) << 54;
constexpr int DEVICE_SHIFT = 50;
constexpr uintptr_t HOST_BITS = (uintptr_t(1) << 48) - 1;

std::atomic<uint64_t> live{0}, peak{0};

struct Block {
  std::shared_ptr<void> owner;
  size_t bytes;
  ~Block() { live -= bytes; }
};

struct DeviceMemory final : c10::DeviceAllocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto host = std::make_shared<c10::DataPtr>(c10::GetAllocator(c10::kCPU)->allocate(bytes));
    return device_pointer(host->get(), bytes, host, current);
  }
  void copy_data(void *to, const void *from, size_t bytes) const override {
    std::memcpy(host_address(to), host_address(const_cast<void *>(from)), bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {}
  void recordStream(const c10::DataPtr &, c10::Stream) override {}
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override {
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes[0].current = stats.reserved_bytes[0].current = static_cast<int64_t>(live);
    stats.allocated_bytes[0].peak = stats.reserved_bytes[0].peak = static_cast<int64_t>(peak);
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex) override { peak = live.load(); }
};

// Blocks of pinned memory by address. Never destroyed: tensors that outlive `main` give theirs back.
struct Pins {
  std::mutex lock;
  std::map<uintptr_t, size_t> blocks;
};
Pins &pins() {
  static auto *pins = new Pins;
  return *pins;
}

struct PinnedMemory final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto *host = new c10::DataPtr(c10::GetAllocator(c10::kCPU)->allocate(bytes));
    if (host->get()) {
      std::lock_guard<std::mutex> held(pins().lock);
      pins().blocks[reinterpret_cast<uintptr_t>(host->get())] = bytes;
    }
    return {host->get(), host, &give_back, c10::Device(c10::kCPU)};
  }
  void copy_data(void *to, const void *from, size_t bytes) const override { std::memcpy(to, from, bytes); }
  static void give_back(void *block) {
    auto *host = static_cast<c10::DataPtr *>(block);
    {
      std::lock_guard<std::mutex> held(pins().lock);
      pins().blocks.erase(reinterpret_cast<uintptr_t>(host->get()));
    }
    delete host;
  }
};

// A copy that has not been waited for.
struct Flight {
  at::Tensor host;
  at::Tensor value;  // what arrives in `host`; undefined where `host` is being read
  size_t hash;
};
std::mutex flights_lock;
std::vector<Flight> flights;

size_t hash_of(const at::Tensor &t) {
  return std::hash<std::string_view>()({static_cast<const char *>(t.const_data_ptr()), t.nbytes()});
}

}  // namespace

void *device_address(void *host, int device) {
  if (!host) return nullptr;
  return reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(host) | MARK | uintptr_t(device) << DEVICE_SHIFT);
}
void *host_address(void *p) { return reinterpret_cast<void *>(reinterpret_cast<uintptr_t>(p) & HOST_BITS); }
bool is_device_address(const void *p) { return reinterpret_cast<uintptr_t>(p) & MARK; }
int device_of(const void *p) { return static_cast<int>(reinterpret_cast<uintptr_t>(p) >> DEVICE_SHIFT & (MAX_DEVICES - 1)); }

c10::DataPtr device_pointer(void *host, size_t bytes, std::shared_ptr<void> owner, int device) {
  const uint64_t now = live += bytes;
  uint64_t most = peak;
  while (most < now && !peak.compare_exchange_weak(most, now)) {
  }
  auto *block = new Block{std::move(owner), bytes};
  return {device_address(host, device), block, [](void *b) { delete static_cast<Block *>(b); },
          c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device))};
}

c10::DeviceAllocator &device_memory() {
  static auto *memory = new DeviceMemory;
  return *memory;
}
c10::Allocator &pinned_memory() {
  static auto *memory = new PinnedMemory;
  return *memory;
}

bool is_pinned(const void *p) {
  std::lock_guard<std::mutex> held(pins().lock);
  auto next = pins().blocks.upper_bound(reinterpret_cast<uintptr_t>(p));
  if (next == pins().blocks.begin()) return false;
  const auto &[start, bytes] = *std::prev(next);
  return reinterpret_cast<uintptr_t>(p) < start + bytes;
}

void arrives_later(const at::Tensor &host, const at::Tensor &value) {
  std::memset(host.mutable_data_ptr(), 0xff, host.nbytes());
  std::lock_guard<std::mutex> held(flights_lock);
  flights.push_back({host, value, 0});
}

void is_read_later(const at::Tensor &host) {
  const auto hash = hash_of(host);
  std::lock_guard<std::mutex> held(flights_lock);
  flights.push_back({host, {}, hash});
}

void count_race();

void arrive() {
  std::vector<Flight> landed;
  {
    std::lock_guard<std::mutex> held(flights_lock);
    landed.swap(flights);
  }
  for (auto &flight : landed) {
    if (flight.value.defined()) {
      std::memcpy(flight.host.mutable_data_ptr(), flight.value.const_data_ptr(), flight.value.nbytes());
    } else if (hash_of(flight.host) != flight.hash) {
      count_race();
    }
  }
}

// ---- counting --------------------------------------------------------------------------------------------------------------------

std::atomic<bool> raise_on_wait{false};

namespace {

std::mutex counts_lock;
SimCounts counted{};
std::map<std::string, uint64_t> lines;

}  // namespace

void count_race() {
  std::lock_guard<std::mutex> held(counts_lock);
  ++counted.races;
  ++lines["race: pinned memory was written while a copy to the device read it"];
}

void launched(const std::string &name) {
  std::lock_guard<std::mutex> held(counts_lock);
  ++counted.launches;
  ++lines["launch " + name];
}

void crossing(Crossing kind, const std::string &name, uint64_t bytes, bool waits) {
  {
    std::lock_guard<std::mutex> held(counts_lock);
    const char *what = "";
    switch (kind) {
      case Crossing::To:
        ++(waits ? counted.to_waiting : counted.to_async);
        counted.bytes_to += bytes;
        what = "to device: ";
        break;
      case Crossing::From:
        ++(waits ? counted.from_waiting : counted.from_async);
        counted.bytes_from += bytes;
        what = "from device: ";
        break;
      case Crossing::Item: ++counted.items, what = "scalar read: "; break;
      case Crossing::Shape: ++counted.shapes, what = "size read: "; break;
      case Crossing::Wait: ++counted.waits, what = "wait: "; break;
    }
    ++lines[what + name + (waits ? ", waiting, " : ", ") + std::to_string(bytes) + " bytes"];
  }
  if (!waits) return;
  TORCH_CHECK(!raise_on_wait, "simulated device: ", name, " would make the host wait");
  arrive();
}

SimCounts counts() {
  std::lock_guard<std::mutex> held(counts_lock);
  auto now = counted;
  now.live_bytes = live;
  now.peak_bytes = peak;
  return now;
}

void reset_counts() {
  arrive();
  std::lock_guard<std::mutex> held(counts_lock);
  counted = {};
  lines.clear();
  peak = live.load();
}

std::string log() {
  std::lock_guard<std::mutex> held(counts_lock);
  std::string out;
  for (const auto &[line, n] : lines) out += std::to_string(n) + " " + line + "\n";
  return out;
}

}  // namespace sim
