//! Gradients that are added over all processes in buckets, also while the backward goes on.

use std::ffi::c_int;

use tch::Tensor;
use torch_sys::C_tensor;

use crate::error::DistributedError;
use crate::group::{handle, Group};
use crate::shim::{self, RawReducer};

/// How gradients are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Bytes that are sent together, at most; a larger tensor goes alone.
    pub bytes: usize,
    /// Round to bfloat16 on the way: half the bytes, 8 bits of precision.
    pub bf16: bool,
}

/// Adds the gradients of parameters over all processes. Sums do not depend on whether the backward was watched.
pub struct Reducer {
    raw: *mut RawReducer,
    group: Group,
    parameters: usize,
}

// SAFETY: the C++ side may be used from any thread, by one at a time: no method is called twice at once, as they are `&mut`.
unsafe impl Send for Reducer {}

impl std::fmt::Debug for Reducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} parameters, {:?}", self.parameters, self.group)
    }
}

impl Drop for Reducer {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed once.
        unsafe { shim::repghost_reducer_free(self.raw) }
    }
}

impl Reducer {
    /// For parameters in main memory; all processes name the same ones in the same order.
    ///
    /// # Errors
    /// libtorch's message.
    pub fn new(group: &Group, parameters: &[&Tensor], buckets: Buckets) -> Result<Self, DistributedError> {
        let handles: Vec<*mut C_tensor> = parameters.iter().map(|t| handle(t)).collect();
        let mut raw = std::ptr::null_mut();
        // SAFETY: tensors live through the call, which keeps references of its own; `raw` takes the object.
        group.call(|group| unsafe {
            shim::repghost_reducer_new(
                group,
                handles.as_ptr(),
                handles.len(),
                i64::try_from(buckets.bytes).unwrap_or(i64::MAX),
                c_int::from(buckets.bf16),
                &mut raw,
            )
        })?;
        Ok(Self { raw, group: group.clone(), parameters: parameters.len() })
    }

    /// How many buckets there are.
    pub fn buckets(&self) -> usize {
        // SAFETY: made by `new`.
        unsafe { shim::repghost_reducer_buckets(self.raw) }
    }

    /// From here on gradients are sent as the next backward of this process finds them, until [`Reducer::finish`].
    ///
    /// # Errors
    /// libtorch's message.
    pub fn watch(&mut self) -> Result<(), DistributedError> {
        // SAFETY: made by `new`.
        self.group.call(|_| unsafe { shim::repghost_reducer_watch(self.raw) })
    }

    /// The sums, by parameter, once all processes have come here. `gradients` that were not sent yet are sent now; zeros where there is none.
    ///
    /// # Errors
    /// A process that failed, died or does not answer.
    pub fn finish(&mut self, gradients: &[Option<Tensor>]) -> Result<Vec<Tensor>, DistributedError> {
        assert_eq!(gradients.len(), self.parameters, "one gradient per parameter");
        let given: Vec<*mut C_tensor> = gradients.iter().map(|g| g.as_ref().map_or(std::ptr::null_mut(), handle)).collect();
        let mut out = vec![std::ptr::null_mut(); self.parameters];
        // SAFETY: `out` has room for a handle per parameter, each of which is taken over below.
        self.group.call(|_| unsafe { shim::repghost_reducer_finish(self.raw, given.as_ptr(), out.as_mut_ptr()) })?;
        // SAFETY: new tensors, each taken once.
        Ok(out.into_iter().map(|t| unsafe { Tensor::from_ptr(t.cast()) }).collect())
    }
}
