//! Dropout (Srivastava et al., 2014) that repeats: each thread draws from a generator of its own.
//!
//! torch has one generator a device. Where copies of a network run side by side (`train.replicas`), its draws would go to whichever thread
//! comes first, and no two runs would be the same. Here a thread that has called [`seed`] draws what it would draw alone.

use std::cell::RefCell;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

thread_local! {
    static GENERATOR: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Starts this thread's draws anew.
pub fn seed(seed: u64) {
    GENERATOR.with(|g| *g.borrow_mut() = ChaCha8Rng::seed_from_u64(seed));
}

/// Sets each element to 0 with probability `p` (below 1) and scales the others by `1 / (1 - p)`, so that the mean stays.
pub fn dropout(x: &Tensor, p: f64) -> Tensor {
    let kept = (1.0 / (1.0 - p)) as f32;
    let factors: Vec<f32> = GENERATOR.with(|g| {
        let mut generator = g.borrow_mut();
        (0..x.numel()).map(|_| if generator.random_bool(p) { 0.0 } else { kept }).collect()
    });
    x * Tensor::from_slice(&factors).view_(x.size()).to_device(x.device()).to_kind(x.kind())
}

#[cfg(test)]
mod tests {
    use tch::Kind;

    use super::*;

    fn draw(n: i64, p: f64) -> Vec<f32> {
        Vec::try_from(dropout(&Tensor::ones([n], (Kind::Float, tch::Device::Cpu)), p)).unwrap()
    }

    /// 4000 draws at 0.2: 800 zeros expected, standard deviation sqrt(4000 * 0.2 * 0.8) = 25.3; four of them are 101.
    #[test]
    fn a_share_p_is_dropped_and_the_rest_is_scaled() {
        seed(1);
        let x = draw(4000, 0.2);
        let zeros = x.iter().filter(|v| **v == 0.0).count();
        assert!(zeros.abs_diff(800) < 101, "{zeros}");
        assert!(x.iter().all(|v| *v == 0.0 || *v == 1.25));
    }

    #[test]
    fn a_thread_draws_by_its_own_seed() {
        seed(7);
        let alone = draw(64, 0.5);
        let beside = std::thread::spawn(|| {
            seed(7);
            draw(64, 0.5)
        });
        seed(8);
        assert_ne!(draw(64, 0.5), alone);
        assert_eq!(beside.join().unwrap(), alone);
    }

    #[test]
    fn gradients_pass_what_was_kept() {
        seed(3);
        let x = Tensor::ones([2, 8], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        let y = dropout(&x, 0.5);
        y.sum(Kind::Float).backward();
        assert!(x.grad().equal(&y.detach()));
    }
}
