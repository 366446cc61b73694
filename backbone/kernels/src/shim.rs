//! The C++ shim's conventions: a function returns null, or a message that Rust frees.

use std::ffi::{c_char, c_void, CStr};

use tch::Tensor;
use torch_sys::C_tensor;

extern "C" {
    fn free(p: *mut c_void);
}

/// What libtorch answered: the first line of its message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("libtorch: {0}")]
pub struct ShimError(pub String);

/// Takes a text that the shim allocated.
///
/// # Safety
/// `text` is null or comes from the shim and is not used again.
pub(crate) unsafe fn text(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    unsafe { free(text as *mut c_void) };
    Some(copy)
}

/// Turns a shim function's answer into a result.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn check(error: *mut c_char) -> Result<(), ShimError> {
    match unsafe { text(error) } {
        None => Ok(()),
        Some(message) => Err(ShimError(message.lines().next().unwrap_or_default().to_string())),
    }
}

/// Handles of tensors, for the length of a call.
pub(crate) fn handles<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<*mut C_tensor> {
    tensors.into_iter().map(|t| t.as_ptr() as *mut C_tensor).collect()
}
