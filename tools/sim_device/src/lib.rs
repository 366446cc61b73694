//! A simulated CUDA device, for tests on machines without a card.
//!
//! In the CPU build of libtorch the key of CUDA tensors has no kernels. [`install`] gives it some: device memory is host memory under
//! addresses that the host cannot read, every operator that a card has runs the CPU's kernel on aliases of its tensors, and copies
//! between the two sides are counted. So
//!
//! - results equal the CPU's bit for bit, gradients included (the backward runs on autograd's device thread, as on a card);
//! - tensors of host and device in one operation are an error in CUDA's words, and a host that reads device memory faults;
//! - [`counts`] counts kernels, copies, and which of them make the host wait;
//! - an asynchronous copy shows garbage until it was waited for, and a pinned buffer that is overwritten too early counts as a race.
//!
//! What it cannot show: a card's own numerics (TF32, atomics, cuDNN), kernels that run at the same time, lack of memory, speed.
//!
//! The device is there for the whole process and counts are global, so tests that use it have a binary (a file in `tests/`) of their own
//! and take turns by [`turn`].

use std::ffi::{c_char, c_int, c_void, CStr};
use std::sync::{Mutex, MutexGuard};

use tch::Device;
// Names the crate, so that libtorch follows this one when programs are linked.
use torch_sys as _;

/// What happened on the device since [`reset`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Kernels, copies on the device among them.
    pub launches: u64,
    /// Copies to the device that the host waited for.
    pub to_waiting: u64,
    /// Copies to the device beside the host.
    pub to_async: u64,
    /// Copies from the device that the host waited for.
    pub from_waiting: u64,
    /// Copies from the device beside the host.
    pub from_async: u64,
    /// Scalars that the host read.
    pub items: u64,
    /// Answers whose size depends on data: the host waits for it.
    pub shapes: u64,
    /// Waits for the device, a stream or an event.
    pub waits: u64,
    /// Pinned memory that was written while a copy read it.
    pub races: u64,
    /// Bytes that went to the device.
    pub bytes_to: u64,
    /// Bytes that came from the device.
    pub bytes_from: u64,
    /// Bytes that tensors hold.
    pub live_bytes: u64,
    /// Bytes that tensors held at most.
    pub peak_bytes: u64,
}

impl Counts {
    /// Times that the host stood still until something came from the device.
    pub fn waiting_from(&self) -> u64 {
        self.from_waiting + self.items + self.shapes
    }
}

extern "C" {
    fn sim_install(n: c_int) -> *const c_char;
    fn sim_reset();
    fn sim_counts(out: *mut Counts);
    fn sim_raise_on_wait(on: c_int);
    fn sim_log() -> *mut c_char;
    fn free(p: *mut c_void);
}

/// Makes `n` simulated devices (1 to 8); the same call again does nothing.
///
/// # Panics
/// With a real card's libtorch, after libtorch was asked for CUDA, or with another number than before.
pub fn install(n: usize) {
    // SAFETY: the answer is null or a static text.
    let answer = unsafe { sim_install(c_int::try_from(n).unwrap_or(0)) };
    if !answer.is_null() {
        let why = unsafe { CStr::from_ptr(answer) }.to_string_lossy();
        panic!("no simulated device: {why}");
    }
}

/// Installs `n` devices and waits for this test's turn: counts are global.
pub fn turn(n: usize) -> (Device, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::new(());
    let guard = TURN.lock().unwrap_or_else(|e| e.into_inner());
    install(n);
    reset();
    (Device::Cuda(0), guard)
}

/// Counts from zero on.
pub fn reset() {
    // SAFETY: no arguments.
    unsafe { sim_reset() }
}

/// What happened since [`reset`].
pub fn counts() -> Counts {
    let mut counts = Counts::default();
    // SAFETY: the layout is the C++ side's.
    unsafe { sim_counts(&mut counts) };
    counts
}

/// What `f` does on the device.
pub fn counted<T>(f: impl FnOnce() -> T) -> (T, Counts) {
    reset();
    let result = f();
    (result, counts())
}

/// What happened since [`reset`], a line per kind with its number: to look for what waits.
pub fn log() -> String {
    // SAFETY: the text is the shim's, and freed here.
    unsafe {
        let text = sim_log();
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        free(text as *mut c_void);
        copy
    }
}

/// While it lives, whatever would make the host wait is an error, at the place where it happens.
#[derive(Debug)]
pub struct NoWaits(());

impl NoWaits {
    /// Starts it.
    pub fn start() -> Self {
        // SAFETY: a plain number.
        unsafe { sim_raise_on_wait(1) };
        Self(())
    }
}

impl Drop for NoWaits {
    fn drop(&mut self) {
        // SAFETY: a plain number.
        unsafe { sim_raise_on_wait(0) }
    }
}
