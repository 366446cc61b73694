//! Batch norm by the statistics of a batch that several processes share (PyTorch's SyncBatchNorm).
//!
//! Forward and backward: sums over the processes are operations of the graph, whose gradients are sums over the processes too.

use std::cell::RefCell;
use std::sync::Arc;

use repghost_kernels::custom_op::with_backward;
use tch::{Kind, Tensor};

use crate::layers::BatchNorm;

/// Replaces a tensor by its sum over all processes.
pub type Reduce = Arc<dyn Fn(&Tensor) + Send + Sync>;

/// How statistics are shared.
#[derive(Clone)]
pub struct Shared {
    /// The sum over the processes.
    pub reduce: Reduce,
    /// 1, or 0 where this process's images stand in for none and must not count.
    pub weight: f64,
}

thread_local! {
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// From here on batch norms of this thread in training share their statistics; `None` ends it.
pub fn set_shared(shared: Option<Shared>) {
    SHARED.with(|s| *s.borrow_mut() = shared);
}

/// Whether this thread's batch norms share their statistics. Then all processes have to make the same passes, also of nothing.
pub fn is_shared() -> bool {
    shared().is_some()
}

/// How this thread's batch norms share their statistics, where they do.
pub(crate) fn shared() -> Option<Shared> {
    SHARED.with(|s| s.borrow().clone())
}

/// The sum over all processes as an operation of the graph.
fn sum(x: &Tensor, reduce: &Reduce) -> Tensor {
    let total = x.detach().copy();
    reduce(&total);
    let reduce = reduce.clone();
    with_backward(total, &[x], move |gradient| {
        let total = gradient.contiguous().copy();
        reduce(&total);
        vec![total]
    })
}

/// Batch norm of `[N, C, H, W]` by the mean and variance over all processes' values; updates the running statistics. A single value per channel
/// in all of them is normalised by the running statistics, which stay.
pub(crate) fn batch_norm(x: &Tensor, layer: &BatchNorm, shared: &Shared) -> Tensor {
    let channels = x.size()[1];
    let own = x.numel() as f64 / channels.max(1) as f64 * shared.weight;
    let count = Tensor::from_slice(&[own]);
    (shared.reduce)(&count);
    let count = count.double_value(&[0]);
    let shape = [1, channels, 1, 1];
    let per_channel = |t: &Tensor| t.reshape(shape);
    let (weight, bias) = (per_channel(&layer.weight), per_channel(&layer.bias));
    let normed = |mean: &Tensor, variance: &Tensor| {
        (x - per_channel(mean)) * (per_channel(variance) + layer.config.eps).rsqrt() * &weight + &bias
    };
    if count < 2.0 {
        return normed(&layer.running_mean, &layer.running_var);
    }
    let over = |t: Tensor| {
        sum(&(t.sum_dim_intlist([0i64, 2, 3].as_slice(), false, None::<Kind>) * shared.weight), &shared.reduce) / count
    };
    let mean = over(x.shallow_clone());
    let variance = over((x - per_channel(&mean)).square());
    let _off = tch::no_grad_guard();
    let momentum = layer.config.momentum;
    let update = |running: &Tensor, value: &Tensor| {
        let _ = running.shallow_clone().lerp_(&value.detach(), momentum);
    };
    update(&layer.running_mean, &mean);
    update(&layer.running_var, &(&variance * (count / (count - 1.0))));
    drop(_off);
    normed(&mean, &variance)
}
