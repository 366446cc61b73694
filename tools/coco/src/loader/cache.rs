//! Decoded images that stay in memory, up to a limit.
//!
//! What is in stays in: an epoch visits every image once, and throwing out the oldest would throw out exactly what comes next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::sample::Sample;

pub(super) struct Cache {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    bytes: usize,
    samples: HashMap<usize, Arc<Sample>>,
}

impl Cache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    pub(super) fn get(&self, index: usize) -> Option<Sample> {
        let kept = self.kept.lock().ok()?.samples.get(&index).cloned();
        kept.map(|sample| Sample::clone(&sample)) // copied outside of the lock
    }

    pub(super) fn put(&self, index: usize, sample: &Sample) {
        let bytes = size(sample);
        let fits = |kept: &Kept| kept.bytes + bytes <= self.limit && !kept.samples.contains_key(&index);
        if !self.kept.lock().is_ok_and(|kept| fits(&kept)) {
            return;
        }
        let copy = Arc::new(sample.clone());
        if let Ok(mut kept) = self.kept.lock() {
            if fits(&kept) {
                kept.bytes += bytes;
                kept.samples.insert(index, copy);
            }
        }
    }
}

fn size(sample: &Sample) -> usize {
    /// Strings, vectors' heads and the table's entry.
    const OVERHEAD: usize = 256;
    /// A box and a label.
    const OBJECT: usize = 24;
    let shapes: usize = sample.shapes.iter().flatten().map(|shape| shape.bytes()).sum();
    sample.image.as_raw().len() + shapes + OBJECT * sample.target.boxes.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds() {
        let sample = Sample { image: image::RgbImage::new(100, 10), ..Sample::default() };
        let cache = Cache::new(2 * size(&sample) + 1);
        (0..5).for_each(|i| cache.put(i, &sample));
        let kept = (0..5).filter(|&i| cache.get(i).is_some()).count();
        assert_eq!(kept, 2);
        assert!(cache.kept.lock().unwrap().bytes <= cache.limit);
    }
}
