//! The order of an epoch, as batches of indices.
//!
//! A batch is padded to its largest image, so that a portrait beside a landscape wastes half of both. With `group_by_aspect`
//! each batch holds either wide or tall images (detectron2, mmdetection), except for what is left over at the end.
//!
//! Where images are repeated, the k-th copy of image i in an epoch has the number i + k * len: so every copy has draws of its own.

use rand::seq::SliceRandom;
use rand::Rng;

use crate::stream::stream;

/// What keeps the order's stream apart from the samples' streams.
const ORDER_STREAM: u64 = 0x6F72_6465_7200_0001;
const REPEAT_STREAM: u64 = 0x7265_7065_6174_0001;

/// Makes the batches of each epoch from (seed, epoch) alone.
#[derive(Clone, Debug)]
pub struct Sampler {
    /// Images of a batch, at least 1.
    pub batch_size: usize,
    /// A new order in each epoch; otherwise the order of the source.
    pub shuffle: bool,
    /// Of the order.
    pub seed: u64,
    /// Whether the last, smaller batch is left out.
    pub drop_last: bool,
    /// For each image whether it is wide; empty where batches are not grouped.
    pub wide: Vec<bool>,
    /// For each image its shard, and how many shards' images are mixed at a time, so that a shard is read once and nearly in one go; empty where
    /// all images are mixed.
    pub shards: Vec<usize>,
    /// Shards that are mixed at a time.
    pub window: usize,
    /// For each image how often it comes per epoch on average, 1 or more; empty where each comes once.
    pub repeats: Vec<f64>,
}

impl Sampler {
    /// Number of images that every epoch over `len` images brings, copies included.
    pub fn images_per_epoch(&self, len: usize) -> usize {
        match self.repeats.is_empty() {
            true => len,
            false => self.repeats.iter().sum::<f64>().ceil() as usize,
        }
    }

    /// Number of batches of every epoch over `len` images.
    pub fn batches_per_epoch(&self, len: usize) -> usize {
        let (size, images) = (self.batch_size.max(1), self.images_per_epoch(len));
        if self.drop_last {
            images / size
        } else {
            images.div_ceil(size)
        }
    }

    /// The images of an epoch in the order of the source. Image i with factor r comes floor(r) or ceil(r) times, r times on average over
    /// the epochs, and every epoch has the same number of images (systematic sampling: one draw per epoch).
    fn images(&self, len: usize, epoch: usize) -> Vec<usize> {
        if self.repeats.is_empty() {
            return (0..len).collect();
        }
        let sum: f64 = self.repeats.iter().sum();
        let whole = self.images_per_epoch(len);
        let start: f64 = stream([self.seed, epoch as u64, 0, REPEAT_STREAM]).random();
        let (mut images, mut before, mut reached) = (Vec::with_capacity(whole), 0, 0.0);
        for (index, repeats) in self.repeats.iter().enumerate().take(len) {
            reached += repeats;
            let up_to = match index + 1 == len {
                true => whole,
                false => ((reached / sum * whole as f64 + start).floor() as usize).min(whole),
            };
            images.extend((0..up_to.saturating_sub(before)).map(|copy| index + copy * len));
            before = before.max(up_to);
        }
        images
    }

    /// The shards in a random order, and within each window of them the images.
    fn by_shards(&self, order: Vec<usize>, len: usize, rng: &mut impl Rng) -> Vec<usize> {
        let shard = |number: &usize| self.shards.get(number % len.max(1)).copied().unwrap_or(0);
        let mut groups = vec![Vec::new(); self.shards.iter().max().map_or(0, |most| most + 1)];
        order.iter().for_each(|number| groups[shard(number)].push(*number));
        groups.shuffle(rng);
        let mixed = groups.chunks(self.window.max(1)).flat_map(|window| {
            let mut images = window.concat();
            images.shuffle(rng);
            images
        });
        mixed.collect()
    }

    /// The batches of an epoch over `len` images. Every image occurs once (or by its repeats), but for a last batch that is dropped.
    pub fn batches(&self, len: usize, epoch: usize) -> Vec<Vec<usize>> {
        let mut order = self.images(len, epoch);
        if self.shuffle {
            let mut rng = stream([self.seed, epoch as u64, 0, ORDER_STREAM]);
            match self.shards.is_empty() {
                true => order.shuffle(&mut rng),
                false => order = self.by_shards(order, len, &mut rng),
            }
        }
        let size = self.batch_size.max(1);
        let mut batches = Vec::with_capacity(self.batches_per_epoch(len));
        let mut open: [Vec<usize>; 2] = Default::default();
        for index in order {
            let group = usize::from(self.wide.get(index % len.max(1)).copied().unwrap_or(false));
            open[group].push(index);
            if open[group].len() == size {
                batches.push(std::mem::take(&mut open[group]));
            }
        }
        let left: Vec<usize> = open.into_iter().flatten().collect();
        batches.extend(left.chunks(size).filter(|batch| !self.drop_last || batch.len() == size).map(<[usize]>::to_vec));
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(shuffle: bool, drop_last: bool, wide: Vec<bool>) -> Sampler {
        Sampler { batch_size: 4, shuffle, seed: 7, drop_last, wide, shards: Vec::new(), window: 0, repeats: Vec::new() }
    }

    #[test]
    fn every_image_occurs_once_in_an_order_of_its_epoch() {
        let wide: Vec<bool> = (0..23).map(|i| i % 3 == 0).collect();
        for wide in [Vec::new(), wide] {
            let sampler = sampler(true, false, wide);
            let batches = sampler.batches(23, 0);
            assert_eq!(batches.len(), sampler.batches_per_epoch(23));
            let mut seen: Vec<usize> = batches.concat();
            assert_ne!(seen, (0..23).collect::<Vec<_>>());
            seen.sort_unstable();
            assert_eq!(seen, (0..23).collect::<Vec<_>>());
            assert_eq!(sampler.batches(23, 0), batches);
            assert_ne!(sampler.batches(23, 1), batches);
            assert_ne!(Sampler { seed: 8, ..sampler }.batches(23, 0), batches);
        }
    }

    #[test]
    fn evaluation_keeps_the_order_and_the_last_batch() {
        assert_eq!(sampler(false, false, Vec::new()).batches(6, 3), [vec![0, 1, 2, 3], vec![4, 5]]);
        assert_eq!(sampler(false, true, Vec::new()).batches(6, 3), [vec![0, 1, 2, 3]]);
        assert!(sampler(true, false, Vec::new()).batches(0, 0).is_empty());
    }

    #[test]
    fn repeated_images_come_by_their_factors() {
        let repeats = vec![1.0, 2.5, 1.0, 1.3, 3.0, 1.0];
        let sampler = Sampler { repeats: repeats.clone(), ..sampler(true, false, Vec::new()) };
        // 9.8 images: 10, so that no image is ever left out; 3 batches of 4.
        assert_eq!((sampler.images_per_epoch(6), sampler.batches_per_epoch(6)), (10, 3));
        let mut seen = [0usize; 6];
        const EPOCHS: usize = 2000;
        for epoch in 0..EPOCHS {
            let batches = sampler.batches(6, epoch);
            assert_eq!(batches.len(), 3);
            let numbers = batches.concat();
            assert_eq!(numbers.len(), 10);
            let distinct: std::collections::HashSet<&usize> = numbers.iter().collect();
            assert_eq!(distinct.len(), 10, "each copy has a number of its own");
            let mut counts = [0usize; 6];
            numbers.iter().for_each(|number| counts[number % 6] += 1);
            for (count, factor) in counts.iter().zip(&repeats) {
                // Scaled by 10 / 9.8, so that the sum is whole.
                let exact = factor * 10.0 / 9.8;
                assert!((*count as f64 - exact).abs() < 1.0, "{count} of {exact}");
            }
            seen.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
        }
        for (all, factor) in seen.iter().zip(&repeats) {
            // One draw per epoch: the standard error of a mean is at most 0.5 / sqrt(2000) = 0.011.
            assert!((*all as f64 / EPOCHS as f64 - factor * 10.0 / 9.8).abs() < 0.05, "{all} of {factor}");
        }
        assert_eq!(sampler.batches(6, 3), sampler.batches(6, 3));
    }

    #[test]
    fn shards_come_one_window_after_another() {
        // 6 shards of 5 images, stored in turn.
        let shards: Vec<usize> = (0..30).map(|i| i % 6).collect();
        let sampler = Sampler { shards: shards.clone(), window: 2, ..sampler(true, false, Vec::new()) };
        let order = sampler.batches(30, 0).concat();
        let mut seen = order.clone();
        seen.sort_unstable();
        assert_eq!(seen, (0..30).collect::<Vec<_>>());
        for window in order.chunks(10) {
            let found: std::collections::BTreeSet<usize> = window.iter().map(|i| shards[*i]).collect();
            assert_eq!(found.len(), 2, "{window:?}");
            assert_ne!(
                window.iter().map(|i| shards[*i]).collect::<Vec<_>>(),
                [vec![shards[window[0]]; 5], vec![shards[window[9]]; 5]].concat()
            );
        }
        assert_eq!(sampler.batches(30, 0).concat(), order);
        assert_ne!(sampler.batches(30, 1).concat(), order);
    }

    #[test]
    fn full_batches_are_of_one_shape() {
        let wide: Vec<bool> = (0..41).map(|i| i % 3 == 0).collect();
        let sampler = sampler(true, true, wide.clone());
        for epoch in 0..5 {
            let batches = sampler.batches(41, epoch);
            assert_eq!(batches.len(), sampler.batches_per_epoch(41));
            let mixed = batches.iter().filter(|b| b.iter().any(|&i| wide[i] != wide[b[0]])).count();
            assert!(mixed <= 2, "{mixed} of {} batches are mixed", batches.len());
        }
    }
}
