//! Many small tensors, updated by several threads: a light network has hundreds of parameters of a few values each, and the calls cost
//! more than the arithmetic.

use tch::{Device, Tensor};

use crate::error::TrainError;

/// Fewer items than this are not worth a thread.
const MIN_ITEMS: usize = 64;
/// More threads than this gain nothing: memory is the limit by then.
const MAX_THREADS: usize = 4;

/// Applies `update` to every item, without recording gradients. Items are independent of each other, so the result does not depend on the
/// number of threads. Where `sample` lives on a device, one thread does all.
pub(crate) fn side_by_side<T: Send>(
    items: &mut [T],
    sample: Option<&Tensor>,
    update: impl Fn(&mut T) -> Result<(), TrainError> + Sync,
) -> Result<(), TrainError> {
    let on_cpu = sample.is_some_and(|t| t.device() == Device::Cpu);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if on_cpu { processors.min(MAX_THREADS).min(items.len() / MIN_ITEMS).max(1) } else { 1 };
    let all = |items: &mut [T]| {
        let _guard = tch::no_grad_guard();
        items.iter_mut().try_for_each(&update)
    };
    if threads == 1 {
        return all(items);
    }
    let size = items.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let mut chunks = items.chunks_mut(size);
        let own = chunks.next();
        let others: Vec<_> = chunks.map(|chunk| scope.spawn(|| all(chunk))).collect();
        let mut result = own.map_or(Ok(()), all);
        for other in others {
            match other.join() {
                Ok(outcome) => result = result.and(outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_updated_once_and_errors_come_back() {
        let sample = Tensor::from(0f32);
        for count in [0, 1, 63, 500] {
            let mut items: Vec<usize> = (0..count).collect();
            side_by_side(&mut items, Some(&sample), |i| {
                *i += 1;
                Ok(())
            })
            .unwrap();
            assert!(items.into_iter().eq(1..=count));
        }
        let fails = side_by_side(&mut [1; 500], Some(&sample), |_| Err(TrainError::NothingToTrain));
        assert!(fails.is_err());
    }
}
