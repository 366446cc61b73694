//! A trace of a stretch of work: every operation of the host and every kernel of a card with its time, as JSON of the Trace Event Format
//! (chrome://tracing and Perfetto show it).

use std::ffi::{c_char, c_int, CString};
use std::path::Path;

use tch::Device;

use crate::shim::{check, ShimError};

extern "C" {
    fn repghost_profile_start(cuda: c_int) -> *mut c_char;
    fn repghost_profile_stop(path: *const c_char) -> *mut c_char;
}

/// Runs `f` and writes its trace to `path`. The profiler belongs to the process: one trace at a time.
///
/// # Errors
/// When libtorch refuses, or a path with a NUL byte.
pub fn traced<R>(device: Device, path: &Path, f: impl FnOnce() -> R) -> Result<R, ShimError> {
    let name = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| ShimError(e.to_string()))?;
    // SAFETY: a plain number; then a text that lives through the call.
    unsafe { check(repghost_profile_start(c_int::from(device.is_cuda())))? };
    let result = f();
    unsafe { check(repghost_profile_stop(name.as_ptr()))? };
    Ok(result)
}
