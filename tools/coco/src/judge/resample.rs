//! Bootstrap samples of images (Efron 1979): as many images as there are, drawn with replacement.
//!
//! An image drawn twice counts twice. (hotcoco's own bootstrap takes the set of the drawn images, each once. Such a sample holds 63 % of the
//! images, and its spread is 0.76 of the true one: a test on it at 5 % raises 14 % false alarms.)

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Seed of the samples: the same question has the same answer each time.
const SEED: u64 = 0x5eed;

/// Calls `f` with the weights of each sample, in parallel; results come in order.
pub(super) fn resampled<R: Send>(images: usize, samples: usize, f: impl Fn(&[u32]) -> R + Sync) -> Vec<R> {
    let one = |sample: usize| {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        random.set_stream(sample as u64);
        let mut weights = vec![0u32; images];
        for _ in 0..images {
            weights[random.random_range(0..images)] += 1;
        }
        f(&weights)
    };
    (0..samples).into_par_iter().map(one).collect()
}

/// Sample standard deviation; 0 of fewer than two values.
pub(super) fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

/// The quantile `q` of values, interpolated linearly; `None` of no value.
pub(super) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let place = q * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    Some(values[low] + (values[high] - values[low]) * (place - low as f64))
}
