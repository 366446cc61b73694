//! An operation of our own in libtorch's autograd graph.
//!
//! tch binds tensors and their operations, but no way to add one with its own backward. A hundred lines of C++
//! (`csrc/custom_op.cpp`) add it: a graph node that calls a Rust closure. Forward is whatever made `value`; when the engine
//! reaches the node it hands the gradient of `value` to the closure and takes the gradients of `inputs` from it.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::shim::check;

type Backward = Box<dyn Fn(&Tensor) -> Vec<Tensor> + Send>;

extern "C" {
    fn repghost_attach(
        value: *mut C_tensor,
        inputs: *mut *mut C_tensor,
        n: usize,
        closure: *mut c_void,
        backward: unsafe extern "C" fn(*mut c_void, *mut C_tensor, *mut *mut C_tensor, usize) -> c_int,
        drop: unsafe extern "C" fn(*mut c_void),
    ) -> *mut c_char;
}

/// Calls the closure behind `closure`.
///
/// # Safety
/// `closure` comes from [`with_backward`]; `grad` is a tensor; `grads` has room for `n` pointers.
unsafe extern "C" fn call(closure: *mut c_void, grad: *mut C_tensor, grads: *mut *mut C_tensor, n: usize) -> c_int {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let closure = unsafe { &*(closure as *const Backward) };
        let grad = unsafe { Tensor::clone_from_ptr(grad) };
        // A guard, not `tch::no_grad`: a panic must not leave the engine's thread without gradients.
        let _off = tch::no_grad_guard();
        closure(&grad)
    }));
    let Ok(made) = result else { return 1 };
    if made.len() != n {
        return 1;
    }
    for (i, tensor) in made.into_iter().enumerate() {
        // The C++ side takes over the handle, so Rust must not drop it.
        let mut tensor = std::mem::ManuallyDrop::new(tensor);
        unsafe { *grads.add(i) = tensor.as_mut_ptr() };
    }
    0
}

/// Drops the closure behind `closure`.
///
/// # Safety
/// `closure` comes from [`with_backward`] and is not used again.
unsafe extern "C" fn release(closure: *mut c_void) {
    drop(unsafe { Box::from_raw(closure as *mut Backward) });
}

/// Makes `value` (computed without gradient tracking) depend on `inputs`: in the backward pass `backward` receives the gradient
/// of `value` and returns one gradient per input, of that input's shape. Where no input needs a gradient, or gradients are
/// switched off, `value` comes back as it is.
///
/// # Panics
/// When libtorch refuses, which it does for integer tensors and for values that are already part of a graph.
pub fn with_backward(value: Tensor, inputs: &[&Tensor], backward: impl Fn(&Tensor) -> Vec<Tensor> + Send + 'static) -> Tensor {
    let mut value = value;
    let closure: Box<Backward> = Box::new(Box::new(backward));
    let mut handles: Vec<*mut C_tensor> = inputs.iter().map(|t| t.as_ptr() as *mut C_tensor).collect();
    // SAFETY: all handles live through the call, which copies them; the closure is owned by the node from here on, and the node
    // drops it exactly once, also where the call fails.
    let error = unsafe {
        repghost_attach(
            value.as_mut_ptr(),
            handles.as_mut_ptr(),
            handles.len(),
            Box::into_raw(closure) as *mut c_void,
            call,
            release,
        )
    };
    // SAFETY: the shim's convention.
    if let Err(error) = unsafe { check(error) } {
        panic!("no backward could be attached: {error}");
    }
    value
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::Arc;

    use super::*;

    fn leaf(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    /// y = 3x with a backward of our own, in the middle of a graph that scales by 2 before and squares after:
    /// z = (3 * 2x)^2, dz/dx = 72 x.
    #[test]
    fn takes_part_in_a_graph() {
        let x = leaf(&[1.0, -2.0]);
        let inner = &x * 2.0;
        let value = tch::no_grad(|| &inner * 3.0);
        let y = with_backward(value, &[&inner], |g| vec![g * 3.0]);
        (&y * &y).sum(tch::Kind::Float).backward();
        assert_eq!(Vec::<f32>::try_from(x.grad()).unwrap(), [72.0, -144.0]);
    }

    #[test]
    fn drops_its_closure_with_the_graph() {
        let count = Arc::new(AtomicUsize::new(0));
        struct CountDrops(Arc<AtomicUsize>);
        impl Drop for CountDrops {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let x = leaf(&[1.0]);
        let counter = CountDrops(count.clone());
        let y = with_backward(x.detach().copy(), &[&x], move |g| {
            let _ = &counter;
            vec![g.shallow_clone()]
        });
        assert_eq!(count.load(Ordering::SeqCst), 0);
        drop(y);
        assert_eq!(count.load(Ordering::SeqCst), 1);
        // Without gradients nothing is attached, and the closure goes at once.
        let counter = CountDrops(count.clone());
        let y = tch::no_grad(|| {
            with_backward(x.detach().copy(), &[&x], move |g| {
                let _ = &counter;
                vec![g.shallow_clone()]
            })
        });
        assert!(!y.requires_grad());
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let x = leaf(&[1.0]);
        let y = with_backward(x.detach().copy(), &[&x], |_| panic!("on purpose"));
        let error = y.sum(tch::Kind::Float).f_backward().unwrap_err().to_string();
        assert!(error.contains("written in Rust"), "{error}");
    }
}
