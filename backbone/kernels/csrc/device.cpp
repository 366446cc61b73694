// Devices without CUDA's headers: c10's guards, streams, events and allocators are the same for every kind of device.
#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "shim.h"

using repghost::guarded;

namespace {

c10::impl::VirtualGuardImpl guard() { return c10::impl::VirtualGuardImpl(c10::kCUDA); }
c10::Device card(int index) { return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)}; }

// Folder of the library that holds libtorch's CPU half, with the slash; empty where it cannot be found.
std::string folder() {
  Dl_info info;
  if (!dladdr(reinterpret_cast<void *>(&at::globalContext), &info) || !info.dli_fname) return "";
  const std::string path = info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

}  // namespace

extern "C" {

char *repghost_libtorch_folder() { return strdup(folder().c_str()); }

// Opens libtorch's CUDA half, whose kernels then are there. To be called before anything asks for CUDA: libtorch looks once.
char *repghost_open_cuda() {
  const std::string path = folder() + "libtorch_cuda.so";
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL)) return nullptr;
  const char *error = dlerror();
  return strdup(error ? error : "unknown error");
}

char *repghost_cudart_version(int64_t *out) {
  return guarded([&] { *out = at::globalContext().versionCUDART(); });
}

// Lower precision for the operators that gain by it, on this thread; `kind` is at::ScalarType's number, -1 ends it.
char *repghost_autocast(int cuda, int kind) {
  return guarded([&] {
    const auto type = cuda ? c10::kCUDA : c10::kCPU;
    if (kind >= 0) at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(kind));
    at::autocast::set_autocast_enabled(type, kind >= 0);
    if (kind < 0) at::autocast::clear_cache();
  });
}

char *repghost_tf32(int on) {
  return guarded([&] {
    at::globalContext().setAllowTF32CuBLAS(on);
    at::globalContext().setAllowTF32CuDNN(on);
  });
}

// Only algorithms that give the same bits each time; an operation that has none prints a warning.
char *repghost_deterministic(int on) {
  return guarded([&] {
    at::globalContext().setDeterministicCuDNN(on);
    at::globalContext().setDeterministicAlgorithms(on, /*warn_only=*/true);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  });
}

// Bytes: in use, most in use, held, most held; then free and total memory of the card where the allocator knows them (else 0).
char *repghost_memory(int device, int64_t out[6]) {
  return guarded([&] {
    auto *allocator = c10::getDeviceAllocator(c10::kCUDA);
    out[4] = out[5] = 0;
    if (!allocator->initialized()) {
      std::fill(out, out + 4, 0);
      return;
    }
    const auto stats = allocator->getDeviceStats(static_cast<c10::DeviceIndex>(device));
    out[0] = stats.allocated_bytes[0].current;
    out[1] = stats.allocated_bytes[0].peak;
    out[2] = stats.reserved_bytes[0].current;
    out[3] = stats.reserved_bytes[0].peak;
    try {
      const auto info = allocator->getMemoryInfo(static_cast<c10::DeviceIndex>(device));
      out[4] = info.first;
      out[5] = info.second;
    } catch (const std::exception &) {
    }
  });
}

char *repghost_reset_peak(int device) {
  return guarded([&] {
    auto *allocator = c10::getDeviceAllocator(c10::kCUDA);
    if (allocator->initialized()) allocator->resetPeakStats(static_cast<c10::DeviceIndex>(device));
  });
}

char *repghost_empty_cache() {
  return guarded([&] { c10::getDeviceAllocator(c10::kCUDA)->emptyCache(); });
}

char *repghost_synchronize(int device) {
  return guarded([&] { guard().synchronizeDevice(static_cast<c10::DeviceIndex>(device)); });
}

// Makes a card this thread's current one; `before` takes the number of the one that was.
char *repghost_exchange_device(int device, int *before) {
  return guarded([&] { *before = guard().exchangeDevice(card(device)).index(); });
}

// The current stream of a device, as the driver's handle.
char *repghost_current_stream(int device, void **out) {
  return guarded([&] { *out = guard().getStream(card(device)).native_handle(); });
}

// A tensor in memory that the card reads without the host's help.
char *repghost_pinned(const int64_t *size, size_t dims, int kind, at::Tensor **out) {
  return guarded([&] {
    const auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(kind)).pinned_memory(true);
    *out = new at::Tensor(at::empty(c10::IntArrayRef(size, dims), options));
  });
}

// A stream beside the default one.
char *repghost_stream_new(int device, c10::Stream **out) {
  return guarded([&] { *out = new c10::Stream(guard().getStreamFromGlobalPool(card(device), false)); });
}
void repghost_stream_free(c10::Stream *stream) { delete stream; }

// Starts a copy of `host` (pinned) to the stream's device and comes back; `done` is reached when it is there.
char *repghost_upload(const c10::Stream *stream, const at::Tensor *host, at::Tensor **out, c10::Event **done) {
  return guarded([&] {
    c10::StreamGuard on(*stream);
    auto copy = host->to(stream->device(), host->scalar_type(), /*non_blocking=*/true);
    auto event = std::make_unique<c10::Event>(c10::kCUDA);
    event->record(*stream);
    *out = new at::Tensor(std::move(copy));
    *done = event.release();
  });
}

// A copy of `host` on a card, on its way when this comes back. The pinned block between is kept by its allocator until the card has read it.
char *repghost_to_card(const at::Tensor *host, int device, at::Tensor **out) {
  return guarded([&] {
    at::NoGradGuard off;
    *out = new at::Tensor(host->contiguous().pin_memory().to(card(device), host->scalar_type(), /*non_blocking=*/true));
  });
}

// Copies without waiting where one side is pinned and the other a card's.
char *repghost_copy_beside(at::Tensor *to, const at::Tensor *from) {
  return guarded([&] {
    at::NoGradGuard off;
    to->copy_(*from, /*non_blocking=*/true);
  });
}

// Lets the current stream wait for `done`, and keeps `tensor`, which another stream made, until the current one has used it.
char *repghost_take(const c10::Event *done, at::Tensor *tensor) {
  return guarded([&] {
    const auto current = guard().getStream(tensor->device());
    done->block(current);
    tensor->record_stream(current);
  });
}

// A mark in the current stream of a device.
char *repghost_mark(int device, c10::Event **out) {
  return guarded([&] {
    auto event = std::make_unique<c10::Event>(c10::kCUDA, c10::EventFlag::BACKEND_DEFAULT);
    event->record(guard().getStream(card(device)));
    *out = event.release();
  });
}
char *repghost_event_wait(const c10::Event *event) {
  return guarded([&] { event->synchronize(); });
}
char *repghost_event_passed(const c10::Event *event, int *out) {
  return guarded([&] { *out = event->query(); });
}
void repghost_event_free(c10::Event *event) { delete event; }

}  // extern "C"
