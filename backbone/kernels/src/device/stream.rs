//! Work beside the work: a stream for copies, and marks in streams.
//!
//! A copy from ordinary host memory waits for everything that was queued before it. One from pinned memory on a stream of its own runs
//! beside the kernels; the default stream waits for it on the card, and the host not at all.

use std::ffi::{c_char, c_int, c_void};

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

use crate::device::memory::pinned;
use crate::shim::{check, ShimError};

#[repr(C)]
struct RawStream {
    _private: [u8; 0],
}
#[repr(C)]
struct RawEvent {
    _private: [u8; 0],
}

extern "C" {
    fn repghost_stream_new(device: c_int, out: *mut *mut RawStream) -> *mut c_char;
    fn repghost_stream_free(stream: *mut RawStream);
    fn repghost_upload(
        stream: *const RawStream,
        host: *const C_tensor,
        out: *mut *mut C_tensor,
        done: *mut *mut RawEvent,
    ) -> *mut c_char;
    fn repghost_to_card(host: *const C_tensor, device: c_int, out: *mut *mut C_tensor) -> *mut c_char;
    fn repghost_copy_beside(to: *mut C_tensor, from: *const C_tensor) -> *mut c_char;
    fn repghost_take(done: *const RawEvent, tensor: *mut C_tensor) -> *mut c_char;
    fn repghost_mark(device: c_int, out: *mut *mut RawEvent) -> *mut c_char;
    fn repghost_event_wait(event: *const RawEvent) -> *mut c_char;
    fn repghost_event_passed(event: *const RawEvent, out: *mut c_int) -> *mut c_char;
    fn repghost_event_free(event: *mut RawEvent);
    fn repghost_synchronize(device: c_int) -> *mut c_char;
    fn repghost_exchange_device(device: c_int, before: *mut c_int) -> *mut c_char;
    fn repghost_current_stream(device: c_int, out: *mut *mut c_void) -> *mut c_char;
}

/// Waits until everything that was queued on a card is done. Nothing on other devices.
///
/// # Errors
/// What a kernel failed with.
pub fn synchronize(device: Device) -> Result<(), ShimError> {
    match device {
        // SAFETY: a plain number.
        Device::Cuda(number) => unsafe { check(repghost_synchronize(number as c_int)) },
        _ => Ok(()),
    }
}

/// Runs `f` with `card` as this thread's current one, for libraries that ask CUDA which one that is.
///
/// # Errors
/// No such card.
pub fn on_card<R>(card: usize, f: impl FnOnce() -> R) -> Result<R, ShimError> {
    let (mut before, mut last) = (0, 0);
    // SAFETY: the shim writes one number.
    unsafe { check(repghost_exchange_device(card as c_int, &mut before))? };
    let result = f();
    // SAFETY: as above.
    unsafe { check(repghost_exchange_device(before, &mut last))? };
    Ok(result)
}

/// The stream of a card that operations of this thread go to, as a handle of CUDA's driver.
///
/// # Errors
/// No such card.
pub fn current_stream(card: usize) -> Result<*mut c_void, ShimError> {
    let mut out = std::ptr::null_mut();
    // SAFETY: the shim writes one pointer.
    unsafe { check(repghost_current_stream(card as c_int, &mut out))? };
    Ok(out)
}

/// The host's tensor on `device`; the host does not wait for it. (`Tensor::to_device` waits until everything that was queued before is
/// done.) For what the host has just made: lists of indices, targets, all of them packed into one tensor. Records no gradients.
///
/// # Errors
/// When libtorch refuses, as for lack of memory.
pub fn to_device(host: &Tensor, device: Device) -> Result<Tensor, ShimError> {
    let Device::Cuda(number) = device else { return Ok(host.to_device(device)) };
    if host.device() != Device::Cpu {
        return Ok(host.to_device(device));
    }
    let mut out = std::ptr::null_mut();
    // SAFETY: the handle lives through the call, which hands a new tensor over.
    unsafe {
        check(repghost_to_card(host.as_ptr(), number as c_int, &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// A tensor's values as contiguous floats in main memory. Large ones of a card come through pinned memory: into ordinary memory the driver copies
/// piece by piece, at a tenth of the speed. Records no gradients.
///
/// # Errors
/// What a kernel failed with; no memory.
pub fn to_host(t: &Tensor) -> Result<Tensor, ShimError> {
    /// Elements from which on it pays.
    const LARGE: usize = 1 << 16;
    let t = t.detach();
    match t.device() {
        Device::Cuda(card) if t.numel() >= LARGE => {
            let mut host = pinned(&t.size(), Kind::Float)?;
            copy_beside(&mut host, &t.to_kind(Kind::Float).contiguous())?;
            Event::mark(card)?.wait()?;
            Ok(host)
        }
        _ => Ok(t.to_device(Device::Cpu).to_kind(Kind::Float).contiguous()),
    }
}

/// Copies `from` into `to` and does not wait, where one of them is pinned and the other a card's. What arrives on the host may be read
/// behind an [`Event`] or [`synchronize`] only.
///
/// # Errors
/// Tensors that do not fit.
pub fn copy_beside(to: &mut Tensor, from: &Tensor) -> Result<(), ShimError> {
    // SAFETY: both handles live through the call; the allocators keep memory that is in use by a stream.
    unsafe { check(repghost_copy_beside(to.as_mut_ptr(), from.as_ptr())) }
}

/// A stream for copies to one card.
#[derive(Debug)]
pub struct CopyStream(*mut RawStream);

// SAFETY: a stream is a device's number and an id; any thread may queue on it.
unsafe impl Send for CopyStream {}
// SAFETY: as above, and nothing in it changes.
unsafe impl Sync for CopyStream {}

impl CopyStream {
    /// A stream beside the default one of `card`.
    ///
    /// # Errors
    /// No such card.
    pub fn new(card: usize) -> Result<Self, ShimError> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the shim hands a stream over, which lives until `drop`.
        unsafe { check(repghost_stream_new(card as c_int, &mut out))? };
        Ok(Self(out))
    }

    /// Starts a copy of `host`, which should be pinned and must not be written until the copy is done.
    ///
    /// # Errors
    /// When libtorch refuses, as for lack of memory.
    pub fn upload(&self, host: &Tensor) -> Result<Upload, ShimError> {
        let (mut tensor, mut done) = (std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: the handles live through the call, which hands a tensor and an event over.
        unsafe {
            check(repghost_upload(self.0, host.as_ptr(), &mut tensor, &mut done))?;
            Ok(Upload { tensor: Tensor::from_ptr(tensor), done: Event(done), _host: host.shallow_clone() })
        }
    }
}

impl Drop for CopyStream {
    fn drop(&mut self) {
        // SAFETY: it came from the shim and is not used again.
        unsafe { repghost_stream_free(self.0) }
    }
}

/// A copy on its way.
#[derive(Debug)]
pub struct Upload {
    tensor: Tensor,
    done: Event,
    /// Keeps the source until the copy is dropped.
    _host: Tensor,
}

impl Upload {
    /// The copy, for operations of this thread: they wait for it on the card, the host does not.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn tensor(&self) -> Result<Tensor, ShimError> {
        let mut tensor = self.tensor.shallow_clone();
        // SAFETY: both handles live.
        unsafe { check(repghost_take(self.done.0, tensor.as_mut_ptr()))? };
        Ok(tensor)
    }

    /// Reached when the source may be written again.
    pub fn done(&self) -> &Event {
        &self.done
    }
}

// SAFETY: a tensor that no one writes may be read by any thread.
unsafe impl Sync for Upload {}

/// A mark in a stream.
#[derive(Debug)]
pub struct Event(*mut RawEvent);

// SAFETY: CUDA's events may be asked and waited for by any thread.
unsafe impl Send for Event {}
// SAFETY: as above; nothing in one changes behind a shared reference.
unsafe impl Sync for Event {}

impl Event {
    /// A mark behind everything that this thread has queued on `card`.
    ///
    /// # Errors
    /// No such card.
    pub fn mark(card: usize) -> Result<Self, ShimError> {
        let mut out = std::ptr::null_mut();
        // SAFETY: the shim hands an event over.
        unsafe { check(repghost_mark(card as c_int, &mut out))? };
        Ok(Self(out))
    }

    /// Waits until the card has reached it.
    ///
    /// # Errors
    /// What a kernel failed with.
    pub fn wait(&self) -> Result<(), ShimError> {
        // SAFETY: the event lives.
        unsafe { check(repghost_event_wait(self.0)) }
    }

    /// Whether the card has reached it.
    ///
    /// # Errors
    /// What a kernel failed with.
    pub fn passed(&self) -> Result<bool, ShimError> {
        let mut out = 0;
        // SAFETY: the event lives.
        unsafe { check(repghost_event_passed(self.0, &mut out))? };
        Ok(out != 0)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it came from the shim and is not used again.
        unsafe { repghost_event_free(self.0) }
    }
}
