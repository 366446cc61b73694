//! Dropout (Srivastava et al., 2014) that repeats: each thread draws from a generator of its own.
//!
//! torch has one generator per device. Where replicas of a network run side by side (`train.replicas`), its draws would go to whichever
//! thread comes first, and no two runs would be the same. Here a thread that has called [`seed`] draws what it would draw alone.

use std::cell::{Cell, RefCell};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::mix::{mix64, GAMMA};

/// A batch of which this process has a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Images before this process's own.
    pub first: usize,
    /// Images in all.
    pub images: usize,
}

thread_local! {
    static SHARE: Cell<Option<Share>> = const { Cell::new(None) };
    static GENERATOR: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(0));
}

/// Seeds this thread's draws for step `step` of a run with seed `seed`: neighbours in either have unrelated streams.
pub fn seed_step(run: u64, step: u64) {
    const STEP_FACTOR: u64 = 0xD1B5_4A32_D192_ED03;
    seed(mix64(run.wrapping_mul(GAMMA).wrapping_add(step).wrapping_mul(STEP_FACTOR)));
}

/// Restarts this thread's draws.
pub fn seed(seed: u64) {
    GENERATOR.with(|g| *g.borrow_mut() = ChaCha8Rng::seed_from_u64(seed));
}

/// From here on this thread's maps are a share of larger batches: their images get the draws that they would get there. `None` ends it.
pub fn set_share(share: Option<Share>) {
    SHARE.with(|s| s.set(share));
}

/// Sets each element to 0 with probability `p` (below 1) and scales the others by `1 / (1 - p)`, so that the mean stays.
pub fn dropout(x: &Tensor, p: f64) -> Tensor {
    let kept = (1.0 / (1.0 - p)) as f32;
    let own = x.numel();
    let each = own / x.size().first().map_or(1, |n| (*n).max(1) as usize);
    let (before, all) = SHARE.with(Cell::get).map_or((0, own), |share| (share.first * each, (share.images * each).max(own)));
    let factors: Vec<f32> = GENERATOR.with(|g| {
        let mut generator = g.borrow_mut();
        let mut draws = (0..all).map(|_| if generator.random_bool(p) { 0.0 } else { kept });
        let own = draws.by_ref().skip(before).take(own).collect();
        // The next draws are those that follow the whole batch's.
        draws.for_each(drop);
        own
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

    /// Steps and runs are seeded apart, and a step repeats.
    #[test]
    fn a_step_repeats_and_its_neighbours_differ() {
        let draws = |run, step| {
            seed_step(run, step);
            draw(64, 0.5)
        };
        let first = draws(4, 10);
        assert_eq!(draws(4, 10), first);
        assert_ne!(draws(4, 11), first);
        assert_ne!(draws(5, 10), first);
    }

    /// Three images in two shares draw what they draw together, and so does what follows.
    #[test]
    fn shares_draw_what_the_whole_batch_does() {
        let of = |share: Option<Share>, images: i64| {
            seed(9);
            set_share(share);
            let ones = || Tensor::ones([images, 16], (Kind::Float, tch::Device::Cpu));
            let drawn = [dropout(&ones(), 0.5), dropout(&ones(), 0.5)];
            set_share(None);
            drawn
        };
        let whole = of(None, 3);
        let first = of(Some(Share { first: 0, images: 3 }), 2);
        let last = of(Some(Share { first: 2, images: 3 }), 1);
        for ((whole, first), last) in whole.iter().zip(&first).zip(&last) {
            assert!(whole.equal(&Tensor::cat(&[first, last], 0)));
        }
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
