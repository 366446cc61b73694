//! Lower precision where it pays, and algorithms that repeat.

use std::ffi::{c_char, c_int};
use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind};

use crate::shim::{check, ShimError};

extern "C" {
    fn repghost_autocast(cuda: c_int, kind: c_int) -> *mut c_char;
    fn repghost_tf32(on: c_int) -> *mut c_char;
    fn repghost_deterministic(on: c_int) -> *mut c_char;
}

/// What [`allow_tf32`] set last.
static TF32: AtomicBool = AtomicBool::new(false);

/// While it lives, operators of this thread that gain by a lower precision (convolutions, matrix products) run in it.
#[derive(Debug)]
pub struct Autocast(Device);

impl Autocast {
    /// Starts it. The backward of what is computed meanwhile follows by itself, so it should end before the backward.
    ///
    /// # Errors
    /// A kind that is no half precision.
    pub fn start(device: Device, kind: Kind) -> Result<Self, ShimError> {
        /// Numbers of `at::ScalarType`.
        const HALF: c_int = 5;
        const BFLOAT16: c_int = 15;
        let number = match kind {
            Kind::Half => HALF,
            Kind::BFloat16 => BFLOAT16,
            other => return Err(ShimError(format!("autocast to {other:?}: only Half and BFloat16 are lower precisions"))),
        };
        // SAFETY: plain numbers.
        unsafe { check(repghost_autocast(c_int::from(device.is_cuda()), number))? };
        Ok(Self(device))
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: plain numbers. Nothing can be done about an error here, and switching off has none.
        let _ = unsafe { check(repghost_autocast(c_int::from(self.0.is_cuda()), -1)) };
    }
}

/// Lets cards multiply 32-bit floats as TF32 (10 bits of mantissa), in convolutions and matrix products.
///
/// # Errors
/// When libtorch refuses.
pub fn allow_tf32(on: bool) -> Result<(), ShimError> {
    // SAFETY: a plain number.
    unsafe { check(repghost_tf32(c_int::from(on)))? };
    TF32.store(on, Ordering::Relaxed);
    Ok(())
}

/// Whether [`allow_tf32`] switched it on.
pub fn tf32_is_allowed() -> bool {
    TF32.load(Ordering::Relaxed)
}

/// Only algorithms that give the same bits each time, also on a card. cuBLAS needs `CUBLAS_WORKSPACE_CONFIG=:4096:8` in the environment
/// before it starts.
///
/// # Errors
/// When libtorch refuses.
pub fn deterministic(on: bool) -> Result<(), ShimError> {
    // SAFETY: a plain number.
    unsafe { check(repghost_deterministic(c_int::from(on))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    #[test]
    fn products_run_in_half_precision_while_it_lives() {
        let x = Tensor::ones([4, 4], (Kind::Float, Device::Cpu));
        {
            let _cast = Autocast::start(Device::Cpu, Kind::BFloat16).unwrap();
            assert_eq!(x.matmul(&x).kind(), Kind::BFloat16);
        }
        assert_eq!(x.matmul(&x).kind(), Kind::Float);
        assert!(Autocast::start(Device::Cpu, Kind::Double).is_err());
    }
}
