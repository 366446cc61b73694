//! The C++ side: a function returns null, or a message that Rust frees.

use std::ffi::{c_char, c_int, c_long, c_void, CStr};

use torch_sys::C_tensor;

/// A store and a process group, owned by the C++ side.
#[repr(C)]
pub struct RawGroup {
    _private: [u8; 0],
}

extern "C" {
    pub fn repghost_group_connect(
        host: *const c_char,
        port: c_int,
        rank: c_int,
        size: c_int,
        serves: c_int,
        timeout_ms: c_long,
        prefix: *const c_char,
        out: *mut *mut RawGroup,
    ) -> *mut c_char;
    pub fn repghost_group_free(group: *mut RawGroup);
    pub fn repghost_group_all_reduce(group: *mut RawGroup, tensor: *mut C_tensor) -> *mut c_char;
    pub fn repghost_group_broadcast(group: *mut RawGroup, tensor: *mut C_tensor, root: c_int) -> *mut c_char;
    pub fn repghost_group_gather(group: *mut RawGroup, tensor: *mut C_tensor, out: *mut C_tensor) -> *mut c_char;
    pub fn repghost_store_set(group: *mut RawGroup, key: *const c_char, value: *const c_char) -> *mut c_char;
    pub fn repghost_store_value(group: *mut RawGroup, key: *const c_char) -> *mut c_char;
}

/// Buckets of gradients, owned by the C++ side.
#[repr(C)]
pub struct RawReducer {
    _private: [u8; 0],
}

extern "C" {
    pub fn repghost_reducer_new(
        group: *mut RawGroup,
        parameters: *const *mut C_tensor,
        count: usize,
        bytes: i64,
        half: c_int,
        out: *mut *mut RawReducer,
    ) -> *mut c_char;
    pub fn repghost_reducer_free(reducer: *mut RawReducer);
    pub fn repghost_reducer_watch(reducer: *mut RawReducer) -> *mut c_char;
    pub fn repghost_reducer_finish(
        reducer: *mut RawReducer,
        gradients: *const *mut C_tensor,
        out: *mut *mut C_tensor,
    ) -> *mut c_char;
    pub fn repghost_reducer_buckets(reducer: *mut RawReducer) -> usize;
}

/// Takes a text that the shim allocated.
///
/// # Safety
/// `text` is null or comes from the shim and is not used again.
pub unsafe fn text(text: *mut c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    let copy = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    unsafe { libc::free(text as *mut c_void) };
    Some(copy)
}

/// The first line of what went wrong.
///
/// # Safety
/// As [`text`].
pub unsafe fn check(error: *mut c_char) -> Result<(), String> {
    match unsafe { text(error) } {
        None => Ok(()),
        Some(message) => Err(message.lines().next().unwrap_or_default().to_string()),
    }
}
