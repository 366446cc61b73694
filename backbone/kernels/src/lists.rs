//! Operations on lists of tensors: one launch for hundreds of small tensors, where each alone would take one or ten.
//!
//! On a card a launch costs the host about five microseconds whatever its size, so an optimizer that goes from parameter to parameter
//! keeps the card waiting (PyTorch's `foreach` and `fused` optimizers exist for that). No function records gradients.

use std::ffi::{c_char, c_int};

use tch::Tensor;
use torch_sys::C_tensor;

use crate::shim::{check, handles, ShimError};

type List = *const *mut C_tensor;

extern "C" {
    fn repghost_lists_lerp(to: List, from: List, n: usize, weight: f64) -> *mut c_char;
    fn repghost_lists_copy(to: List, from: List, n: usize) -> *mut c_char;
    fn repghost_lists_add(to: List, from: List, n: usize) -> *mut c_char;
    fn repghost_lists_mul(tensors: List, n: usize, factor: f64) -> *mut c_char;
    fn repghost_lists_mul_tensor(tensors: List, n: usize, factor: *const C_tensor) -> *mut c_char;
    fn repghost_lists_norm(tensors: List, n: usize, out: *mut *mut C_tensor) -> *mut c_char;
    fn repghost_fused_sgd(
        params: List,
        grads: List,
        velocities: List,
        n: usize,
        lr: f64,
        weight_decay: f64,
        momentum: f64,
        nesterov: c_int,
        first: c_int,
    ) -> *mut c_char;
    fn repghost_fused_adamw(
        params: List,
        grads: List,
        first: List,
        second: List,
        n: usize,
        steps: *const C_tensor,
        lr: f64,
        beta1: f64,
        beta2: f64,
        weight_decay: f64,
        eps: f64,
    ) -> *mut c_char;
}

/// `to += weight * (from - to)`, pair by pair.
///
/// # Errors
/// Pairs that do not fit.
pub fn lerp(to: &[&Tensor], from: &[&Tensor], weight: f64) -> Result<(), ShimError> {
    pairs(to, from, |to, from, n| unsafe { repghost_lists_lerp(to, from, n, weight) })
}

/// `to = from`, pair by pair.
///
/// # Errors
/// Pairs that do not fit.
pub fn copy(to: &[&Tensor], from: &[&Tensor]) -> Result<(), ShimError> {
    pairs(to, from, |to, from, n| unsafe { repghost_lists_copy(to, from, n) })
}

/// `to += from`, pair by pair.
///
/// # Errors
/// Pairs that do not fit.
pub fn add(to: &[&Tensor], from: &[&Tensor]) -> Result<(), ShimError> {
    pairs(to, from, |to, from, n| unsafe { repghost_lists_add(to, from, n) })
}

fn pairs(to: &[&Tensor], from: &[&Tensor], call: impl Fn(List, List, usize) -> *mut c_char) -> Result<(), ShimError> {
    same_length(to, from)?;
    if to.is_empty() {
        return Ok(());
    }
    let (to, from) = (handles(to.iter().copied()), handles(from.iter().copied()));
    // SAFETY: the handles live through the call.
    unsafe { check(call(to.as_ptr(), from.as_ptr(), to.len())) }
}

fn same_length(a: &[&Tensor], b: &[&Tensor]) -> Result<(), ShimError> {
    match a.len() == b.len() {
        true => Ok(()),
        false => Err(ShimError(format!("lists of {} and {} tensors", a.len(), b.len()))),
    }
}

/// Multiplies every tensor by `factor`.
///
/// # Errors
/// When libtorch refuses.
pub fn scale(tensors: &[&Tensor], factor: f64) -> Result<(), ShimError> {
    if tensors.is_empty() {
        return Ok(());
    }
    let list = handles(tensors.iter().copied());
    // SAFETY: the handles live through the call.
    unsafe { check(repghost_lists_mul(list.as_ptr(), list.len(), factor)) }
}

/// Multiplies every tensor by a scalar that lives on their device, without fetching it.
///
/// # Errors
/// When libtorch refuses.
pub fn scale_by(tensors: &[&Tensor], factor: &Tensor) -> Result<(), ShimError> {
    if tensors.is_empty() {
        return Ok(());
    }
    let list = handles(tensors.iter().copied());
    // SAFETY: the handles live through the call.
    unsafe { check(repghost_lists_mul_tensor(list.as_ptr(), list.len(), factor.as_ptr())) }
}

/// Euclidean norm over all tensors together: a scalar on their device.
///
/// # Errors
/// An empty list.
pub fn norm(tensors: &[&Tensor]) -> Result<Tensor, ShimError> {
    let list = handles(tensors.iter().copied());
    let mut out = std::ptr::null_mut();
    // SAFETY: the handles live through the call, which hands a new tensor over.
    unsafe {
        check(repghost_lists_norm(list.as_ptr(), list.len(), &mut out))?;
        Ok(Tensor::from_ptr(out))
    }
}

/// Stochastic gradient descent of one group, by PyTorch's rule.
#[derive(Clone, Copy, Debug)]
pub struct SgdRule {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Share of the velocity that is kept.
    pub momentum: f64,
    /// Nesterov's form.
    pub nesterov: bool,
    /// The velocities hold nothing yet.
    pub first: bool,
}

impl SgdRule {
    /// Updates `params`, and `velocities` where there is momentum, in one launch.
    ///
    /// # Errors
    /// Lists that do not fit.
    pub fn step(&self, params: &[&Tensor], grads: &[&Tensor], velocities: &[&Tensor]) -> Result<(), ShimError> {
        same_length(params, grads)?;
        if self.momentum != 0.0 {
            same_length(params, velocities)?;
        }
        if params.is_empty() {
            return Ok(());
        }
        let (p, g) = (handles(params.iter().copied()), handles(grads.iter().copied()));
        let v = handles(velocities.iter().copied());
        // SAFETY: the handles live through the call; the lists are `n` long.
        unsafe {
            check(repghost_fused_sgd(
                p.as_ptr(),
                g.as_ptr(),
                v.as_ptr(),
                p.len(),
                self.lr,
                self.weight_decay,
                self.momentum,
                c_int::from(self.nesterov),
                c_int::from(self.first),
            ))
        }
    }
}

/// Adam with decoupled weight decay for one group, by PyTorch's rule.
#[derive(Clone, Copy, Debug)]
pub struct AdamWRule {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Added to the denominator.
    pub eps: f64,
}

impl AdamWRule {
    /// Updates `params` and both moments in one launch; `steps` counts the updates, this one included (a float on the device).
    ///
    /// # Errors
    /// Lists that do not fit.
    pub fn step(
        &self,
        params: &[&Tensor],
        grads: &[&Tensor],
        [first, second]: [&[&Tensor]; 2],
        steps: &Tensor,
    ) -> Result<(), ShimError> {
        same_length(params, grads)?;
        same_length(params, first)?;
        same_length(params, second)?;
        if params.is_empty() {
            return Ok(());
        }
        let (p, g) = (handles(params.iter().copied()), handles(grads.iter().copied()));
        let (m, v) = (handles(first.iter().copied()), handles(second.iter().copied()));
        // SAFETY: the handles live through the call; the lists are `n` long.
        unsafe {
            check(repghost_fused_adamw(
                p.as_ptr(),
                g.as_ptr(),
                m.as_ptr(),
                v.as_ptr(),
                p.len(),
                steps.as_ptr(),
                self.lr,
                self.beta1,
                self.beta2,
                self.weight_decay,
                self.eps,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(t: &Tensor) -> Vec<f32> {
        Vec::try_from(t.shallow_clone()).unwrap()
    }

    #[test]
    fn lists_change_in_place() {
        let (a, b) = (Tensor::from_slice(&[0f32, 4.0]), Tensor::from_slice(&[3f32]));
        let (c, d) = (Tensor::from_slice(&[4f32, 0.0]), Tensor::from_slice(&[1f32]));
        lerp(&[&a, &b], &[&c, &d], 0.25).unwrap();
        assert_eq!((values(&a), values(&b)), (vec![1.0, 3.0], vec![2.5]));
        add(&[&a, &b], &[&c, &d]).unwrap();
        assert_eq!((values(&a), values(&b)), (vec![5.0, 3.0], vec![3.5]));
        scale(&[&a, &b], 2.0).unwrap();
        scale_by(&[&a], &Tensor::from(0.5f32)).unwrap();
        assert_eq!((values(&a), values(&b)), (vec![5.0, 3.0], vec![7.0]));
        copy(&[&b], &[&d]).unwrap();
        assert_eq!(values(&b), [1.0]);
        // 3, 4 and 12: the square root of 9 + 16 + 144.
        let n = norm(&[&Tensor::from_slice(&[3f32, 4.0]), &Tensor::from_slice(&[12f32])]).unwrap();
        assert_eq!(f64::try_from(n).unwrap(), 13.0);
        assert!(lerp(&[&a], &[], 0.1).is_err());
        assert!(norm(&[]).is_err());
    }

    /// By hand: v = 0.9 * 1 + (2 + 0.5 * 4) = 4.9, p = 4 - 0.1 * 4.9.
    #[test]
    fn a_fused_step_is_the_rule() {
        let (p, g, v) = (Tensor::from_slice(&[4f32]), Tensor::from_slice(&[2f32]), Tensor::from_slice(&[1f32]));
        let rule = SgdRule { lr: 0.1, weight_decay: 0.5, momentum: 0.9, nesterov: false, first: false };
        rule.step(&[&p], &[&g], &[&v]).unwrap();
        assert!((values(&p)[0] - 3.51).abs() < 1e-6 && (values(&v)[0] - 4.9).abs() < 1e-6);
    }
}
