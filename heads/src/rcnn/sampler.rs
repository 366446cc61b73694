//! Which anchors or proposals take part in the loss: a fixed number per image, foreground and background in balance.
//!
//! Draws come from a stream of their own, named by seed, step, image and population. So a run that is resumed at a step draws what the
//! uninterrupted run would have drawn, whatever else uses random numbers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use rand::seq::index;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// How many samples are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BalancedSampler {
    /// Samples per image.
    pub total: usize,
    /// Fraction of foreground, at most; background fills the rest.
    pub positive: f64,
}

/// Where draws come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// The first ones, for comparisons with other programs.
    First,
    /// A random stream.
    Random {
        /// Of the run.
        seed: u64,
        /// Number of the batch.
        step: u64,
    },
}

/// The two populations; each has its own streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Population {
    /// Anchors in the loss of the region proposal network.
    Anchors,
    /// Proposals that the second stage trains on.
    Proposals,
}

impl Draw {
    /// `k` of `items` for `image`, in ascending order of their positions. `part` is 0 for foreground, 1 for background.
    fn pick(&self, items: &[usize], k: usize, image: usize, population: Population, part: u64) -> Vec<usize> {
        let Self::Random { seed, step } = *self else {
            return items[..k.min(items.len())].to_vec();
        };
        if k >= items.len() {
            return items.to_vec();
        }
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&step.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(image as u64 * 4 + population as u64 * 2 + part);
        let mut chosen: Vec<usize> = index::sample(&mut rng, items.len(), k).into_iter().map(|i| items[i]).collect();
        chosen.sort_unstable();
        chosen
    }
}

impl BalancedSampler {
    /// Chooses among positions: (foreground, background), each ascending.
    pub fn choose(
        &self,
        positive: &[usize],
        negative: &[usize],
        draw: Draw,
        image: usize,
        population: Population,
    ) -> (Vec<usize>, Vec<usize>) {
        let k = ((self.total as f64 * self.positive) as usize).min(positive.len());
        let rest = (self.total - k).min(negative.len());
        (draw.pick(positive, k, image, population, 0), draw.pick(negative, rest, image, population, 1))
    }
}

/// The draw of the next batch. It can be set through a shared reference, by whoever counts steps.
#[derive(Debug, Default)]
pub struct SampleRng {
    seed: AtomicU64,
    step: AtomicU64,
    first_image: AtomicUsize,
    first: std::sync::atomic::AtomicBool,
}

impl SampleRng {
    /// From here on draws are those of `seed` from batch `step` on. A trainer sets it when it starts and when it resumes.
    pub fn set(&self, seed: u64, step: u64) {
        self.seed.store(seed, Ordering::Relaxed);
        self.step.store(step, Ordering::Relaxed);
        self.first.store(false, Ordering::Relaxed);
    }

    /// From here on the first image of a batch is number `image` of a larger one, of which other processes have the rest.
    pub fn set_first_image(&self, image: usize) {
        self.first_image.store(image, Ordering::Relaxed);
    }

    /// The number of the first image of a batch.
    pub fn first_image(&self) -> usize {
        self.first_image.load(Ordering::Relaxed)
    }

    /// From here on the first ones are taken.
    pub fn set_first(&self) {
        self.first.store(true, Ordering::Relaxed);
    }

    /// The draw for a batch; counts it.
    pub fn next(&self) -> Draw {
        if self.first.load(Ordering::Relaxed) {
            return Draw::First;
        }
        Draw::Random { seed: self.seed.load(Ordering::Relaxed), step: self.step.fetch_add(1, Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: BalancedSampler = BalancedSampler { total: 8, positive: 0.5 };

    #[test]
    fn background_fills_up() {
        let (few, many) = ([3, 5], (10..100).collect::<Vec<_>>());
        let (p, n) = HALF.choose(&few, &many, Draw::First, 0, Population::Anchors);
        assert_eq!((p, n), (vec![3, 5], (10..16).collect()));
        let (p, n) = HALF.choose(&many, &few, Draw::First, 0, Population::Anchors);
        assert_eq!((p, n), ((10..14).collect(), vec![3, 5]));
        assert_eq!(HALF.choose(&[], &[], Draw::First, 0, Population::Anchors), (vec![], vec![]));
    }

    #[test]
    fn draws_depend_on_their_names_only() {
        let items: Vec<usize> = (0..1000).collect();
        let draw = |seed, step, image, population| HALF.choose(&items, &items, Draw::Random { seed, step }, image, population);
        let one = draw(1, 2, 3, Population::Anchors);
        assert_eq!(one, draw(1, 2, 3, Population::Anchors));
        for other in [draw(0, 2, 3, Population::Anchors), draw(1, 3, 3, Population::Anchors), draw(1, 2, 4, Population::Anchors)]
        {
            assert_ne!(one, other);
        }
        assert_ne!(one, draw(1, 2, 3, Population::Proposals));
        assert_ne!(one.0, one.1, "foreground and background draw from different streams");
        assert!(one.0.windows(2).all(|w| w[0] < w[1]) && one.0.len() == 4);
        // All items are reachable: a thousand draws of 4 among 16 hit each one.
        let mut seen = [false; 16];
        for step in 0..1000 {
            let (p, _) = HALF.choose(&items[..16], &[], Draw::Random { seed: 0, step }, 0, Population::Anchors);
            p.iter().for_each(|i| seen[*i] = true);
        }
        assert_eq!(seen, [true; 16]);
    }

    #[test]
    fn a_stream_counts_batches_and_resumes() {
        let stream = SampleRng::default();
        stream.set(7, 0);
        let all: Vec<Draw> = (0..4).map(|_| stream.next()).collect();
        stream.set(7, 2);
        assert_eq!([stream.next(), stream.next()], all[2..]);
    }
}
