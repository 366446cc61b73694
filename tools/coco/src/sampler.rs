//! The order of an epoch, as batches of indices.
//!
//! A batch is padded to its largest image, so that a portrait beside a landscape wastes half of both. With `group_by_aspect`
//! each batch holds either wide or tall images (detectron2, mmdetection), except for what is left over at the end.

use rand::seq::SliceRandom;

use crate::stream::stream;

/// What keeps the order's stream apart from the samples' streams.
const ORDER_STREAM: u64 = 0x6F72_6465_7200_0001;

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
}

impl Sampler {
    /// Number of batches of every epoch over `len` images.
    pub fn batches_per_epoch(&self, len: usize) -> usize {
        let size = self.batch_size.max(1);
        if self.drop_last {
            len / size
        } else {
            len.div_ceil(size)
        }
    }

    /// The batches of an epoch over `len` images. Every image occurs once, but for a last batch that is dropped.
    pub fn batches(&self, len: usize, epoch: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..len).collect();
        if self.shuffle {
            order.shuffle(&mut stream([self.seed, epoch as u64, 0, ORDER_STREAM]));
        }
        let size = self.batch_size.max(1);
        let mut batches = Vec::with_capacity(self.batches_per_epoch(len));
        let mut open: [Vec<usize>; 2] = Default::default();
        for index in order {
            let group = usize::from(self.wide.get(index).copied().unwrap_or(false));
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
        Sampler { batch_size: 4, shuffle, seed: 7, drop_last, wide }
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
