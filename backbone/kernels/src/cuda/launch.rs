//! Who runs a kernel: the card that its tensors are on, or, in tests, something that stands in for one.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use tch::{Device, Tensor};

use super::driver::{Driver, Grid};
use super::source::{Entry, Scalar};
use super::KernelError;

/// The environment variable that switches the kernels off when it is `0`.
pub(super) const SWITCH: &str = "REPGHOST_CUDA_KERNELS";

/// A kernel's argument, by reference: the launch copies the value.
#[derive(Clone, Copy, Debug)]
pub struct Argument<'a> {
    value: *const c_void,
    of: PhantomData<&'a ()>,
}

impl<'a> Argument<'a> {
    /// A value that has the size and layout of the kernel's parameter.
    pub fn of<T: Copy>(value: &'a T) -> Self {
        Self { value: std::ptr::from_ref(value).cast(), of: PhantomData }
    }

    /// Where the value is, as the driver takes it.
    pub fn pointer(&self) -> *mut c_void {
        self.value.cast_mut()
    }
}

/// Something that runs kernels.
pub trait Launcher {
    /// Queues `entry`, compiled for `scalar`.
    ///
    /// # Errors
    /// What is missing, or what the driver reports.
    ///
    /// # Safety
    /// The arguments are those of the kernel in number, size and order; memory they point to is large enough and stays until the
    /// kernel has run.
    unsafe fn launch(&self, entry: Entry, scalar: Scalar, grid: Grid, arguments: &[Argument]) -> Result<(), KernelError>;
}

/// A card with the stream that libtorch uses on this thread.
struct Card {
    device: usize,
}

impl Launcher for Card {
    unsafe fn launch(&self, entry: Entry, scalar: Scalar, grid: Grid, arguments: &[Argument]) -> Result<(), KernelError> {
        let stream =
            crate::device::stream::current_stream(self.device).map_err(|error| KernelError::Stream(error.to_string()))?;
        let mut pointers: Vec<*mut c_void> = arguments.iter().map(Argument::pointer).collect();
        unsafe { Driver::get()?.launch(self.device, stream, entry, scalar, grid, &mut pointers) }
    }
}

thread_local! {
    static STAND_IN: RefCell<Option<Rc<dyn Launcher>>> = const { RefCell::new(None) };
}

/// Runs `body` with `launcher` in the place of the cards, on this thread, for tensors of every device: how tests run the kernels
/// without a card.
pub fn with_launcher<T>(launcher: Rc<dyn Launcher>, body: impl FnOnce() -> T) -> T {
    struct Restore(Option<Rc<dyn Launcher>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            STAND_IN.with(|stand_in| *stand_in.borrow_mut() = self.0.take());
        }
    }
    let _restore = Restore(STAND_IN.with(|stand_in| stand_in.borrow_mut().replace(launcher)));
    body()
}

/// Lets `body` launch on `device`. `None` where nothing runs kernels there; a failure is reported once.
pub(super) fn serve<T>(device: Device, body: impl FnOnce(&dyn Launcher) -> Result<T, KernelError>) -> Option<T> {
    let stand_in = STAND_IN.with(|stand_in| stand_in.borrow().clone());
    let result = match (stand_in, device) {
        (Some(launcher), _) => body(&*launcher),
        (None, Device::Cuda(device)) => body(&Card { device }),
        _ => return None,
    };
    result.map_err(|error| report(&error)).ok()
}

/// Whether kernels run on `device`: it is a card, with driver and compiler. What is missing for a card is reported once.
pub fn available(device: Device) -> bool {
    static FOUND: Mutex<Option<HashMap<usize, bool>>> = Mutex::new(None);
    if STAND_IN.with(|stand_in| stand_in.borrow().is_some()) {
        return true;
    }
    let Device::Cuda(card) = device else { return false };
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let ask = || status(card).map_err(|error| report(&error)).is_ok();
    *found.get_or_insert_default().entry(card).or_insert_with(ask)
}

fn switched_on() -> bool {
    std::env::var_os(SWITCH).is_none_or(|value| value != "0")
}

fn report(error: &KernelError) {
    static REPORTED: Mutex<Option<HashSet<String>>> = Mutex::new(None);
    let text = error.to_string();
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.get_or_insert_default().insert(text.clone()) {
        tracing::warn!("a kernel for the card can't be used, libtorch's operations take its place: {text}");
    }
}

pub(super) fn status(device: usize) -> Result<String, KernelError> {
    if !switched_on() {
        return Err(KernelError::Off);
    }
    Driver::get()?.describe(device)
}

/// The address of a tensor's first element, as kernels take it.
pub(super) fn address(tensor: &Tensor) -> u64 {
    tensor.data_ptr() as u64
}

/// A copy `[n]` of `values` on `device`; the host doesn't wait for it.
pub fn upload<T: tch::kind::Element>(values: &[T], device: Device) -> Tensor {
    let host = Tensor::from_slice(values);
    crate::device::to_device(&host, device).unwrap_or_else(|_| host.to_device(device))
}
