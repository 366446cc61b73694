// A simulated CUDA device: what the parts share.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <atomic>
#include <cstdint>
#include <string>

// As in src/lib.rs.
extern "C" struct SimCounts {
  uint64_t launches;      // kernels, copies on the device among them
  uint64_t to_waiting, to_async, from_waiting, from_async;  // copies between host and device
  uint64_t items;         // scalars that were read
  uint64_t shapes;        // answers whose size depends on data
  uint64_t waits;         // explicit ones: device, stream, event
  uint64_t races;         // pinned memory that was written while a copy read it
  uint64_t bytes_to, bytes_from, live_bytes, peak_bytes;
};

namespace sim {

constexpr int MAX_DEVICES = 8;

// How many there are, and which one this thread is on.
extern int devices;
extern thread_local c10::DeviceIndex current;

// Device addresses: bit 54 marks them, bits 50 to 52 hold the device. No user address of x86-64 or aarch64 looks like this, so the host
// faults when it reads one, as it does with a card's.
void *device_address(void *host, int device);
void *host_address(void *device);
bool is_device_address(const void *p);
int device_of(const void *p);

// Device memory that `owner`, a block of host memory, backs.
c10::DataPtr device_pointer(void *host, size_t bytes, std::shared_ptr<void> owner, int device);
c10::DeviceAllocator &device_memory();
c10::Allocator &pinned_memory();
bool is_pinned(const void *p);

// Copies in flight: the host finds 0xff bytes where something is to arrive, until it has waited.
void arrives_later(const at::Tensor &host, const at::Tensor &value);
void is_read_later(const at::Tensor &host);
void arrive();

// What is counted.
enum class Crossing { To, From, Item, Shape, Wait };
void crossing(Crossing kind, const std::string &name, uint64_t bytes, bool waits);
void launched(const std::string &name);
SimCounts counts();
void reset_counts();
std::string log();
extern std::atomic<bool> raise_on_wait;

const c10::impl::DeviceGuardImplInterface *guard();
at::Generator generator(int device);
// Installs hooks and guard; false where libtorch has asked for CUDA before.
bool install_hooks();
void register_kernels();

}  // namespace sim
