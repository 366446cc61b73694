//! From a 28 x 28 mask in a box to the run-length encoding of a full image.
//!
//! torchvision pads the mask by a pixel, widens the box to match, resizes the mask to the box (bilinear), cuts at one half and pastes
//! into an image of zeros, which pycocotools then encodes. Here the image never exists. COCO's runs go down columns, and along a column
//! the mask is piecewise linear: where both ends of a piece are on one side of the threshold, so is all between, and only the few
//! pieces that cross it are looked at pixel by pixel.

use rayon::prelude::*;

/// Zeros around the mask before it is resized, so that its edge fades out.
const PADDING: usize = 1;
/// Probability above which a pixel belongs to the object.
pub const THRESHOLD: f32 = 0.5;

/// A binary mask in COCO's uncompressed run-length encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rle {
    /// Height and width of the image.
    pub size: [usize; 2],
    /// Lengths of runs down the columns, zeros first.
    pub counts: Vec<u32>,
}

impl Rle {
    /// Number of pixels in the mask.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|c| u64::from(*c)).sum()
    }
}

/// One axis of the resize: for each target pixel the source pixel at or before it, and the weight of the one after.
struct Axis {
    /// First target pixel within the image, and how many there are.
    start: usize,
    source: Vec<(usize, f32)>,
}

impl Axis {
    /// Resizes `from` source pixels to the target pixels `lo..=hi` (any integers), clipped to `0..limit`.
    fn new(from: usize, lo: i64, hi: i64, limit: usize) -> Self {
        let length = (hi - lo + 1).max(1);
        let (start, end) = (lo.clamp(0, limit as i64), (hi + 1).clamp(0, limit as i64));
        let scale = from as f32 / length as f32;
        let source = (start..end).map(|p| {
            let at = (((p - lo) as f32 + 0.5) * scale - 0.5).max(0.0);
            let low = (at as usize).min(from - 1);
            (low, if low + 1 < from { at - low as f32 } else { 0.0 })
        });
        Self { start: start as usize, source: source.collect() }
    }
}

/// Runs of one image, built front to back.
struct Runs {
    counts: Vec<u32>,
    /// Pixels so far, column by column.
    end: usize,
}

impl Runs {
    /// Appends ones at `start..start + len` (not before the present end).
    fn ones(&mut self, start: usize, len: usize) {
        if len == 0 {
            return;
        }
        match self.counts.last_mut() {
            Some(last) if start == self.end => *last += len as u32,
            _ => self.counts.extend([(start - self.end) as u32, len as u32]),
        }
        self.end = start + len;
    }

    fn finish(mut self, total: usize) -> Vec<u32> {
        if total > self.end || self.counts.is_empty() {
            self.counts.push((total - self.end) as u32);
        }
        self.counts
    }
}

/// Pastes `mask` (`side * side` probabilities, row by row) into `bbox` (x1, y1, x2, y2 in pixels) of an image of `size` (height, width).
///
/// # Panics
/// When `mask` is not `side * side` long or empty.
pub fn paste(mask: &[f32], side: usize, bbox: [f32; 4], size: [usize; 2]) -> Rle {
    assert!(side > 0 && mask.len() == side * side, "{} mask values for a side of {side}", mask.len());
    let padded = side + 2 * PADDING;
    let [x1, y1, x2, y2] = expand(bbox, padded as f32 / side as f32);
    let (xs, ys) = (Axis::new(padded, x1, x2, size[1]), Axis::new(padded, y1, y2, size[0]));
    let pieces = pieces(&ys);
    let mut runs = Runs { counts: Vec::new(), end: 0 };
    let mut column = vec![0.0f32; padded + 1];
    for (i, &(low, upper)) in xs.source.iter().enumerate() {
        blend(mask, side, low, upper, &mut column);
        let origin = (xs.start + i) * size[0] + ys.start;
        for (low, from, to) in &pieces {
            let (a, b) = (column[*low], column[*low + 1]);
            match (a > THRESHOLD, b > THRESHOLD) {
                (true, true) => runs.ones(origin + from, to - from),
                (false, false) => {}
                _ => {
                    for (y, (_, w)) in ys.source[*from..*to].iter().enumerate() {
                        if a * (1.0 - w) + b * w > THRESHOLD {
                            runs.ones(origin + from + y, 1);
                        }
                    }
                }
            }
        }
    }
    Rle { size, counts: runs.finish(size[0] * size[1]) }
}

/// [`paste`] for many masks (`boxes.len() * side * side` values), on all cores.
///
/// # Panics
/// When `masks` and `boxes` differ in number.
pub fn paste_all(masks: &[f32], side: usize, boxes: &[[f32; 4]], size: [usize; 2]) -> Vec<Rle> {
    assert_eq!(masks.len(), boxes.len() * side * side, "masks and boxes differ in number");
    if boxes.is_empty() {
        return Vec::new();
    }
    masks.par_chunks(side * side).zip(boxes).map(|(mask, bbox)| paste(mask, side, *bbox, size)).collect()
}

/// The box around the padded mask, cut to integers as torchvision does (towards zero).
fn expand(bbox: [f32; 4], scale: f32) -> [i64; 4] {
    let [x1, y1, x2, y2] = bbox;
    let (w_half, h_half) = ((x2 - x1) * 0.5 * scale, (y2 - y1) * 0.5 * scale);
    let (x_c, y_c) = ((x2 + x1) * 0.5, (y2 + y1) * 0.5);
    [x_c - w_half, y_c - h_half, x_c + w_half, y_c + h_half].map(|v| v as i64)
}

/// Target pixels that share a source pixel: (source, from, to).
fn pieces(axis: &Axis) -> Vec<(usize, usize, usize)> {
    let mut from = 0;
    let chunks = axis.source.chunk_by(|a, b| a.0 == b.0);
    chunks
        .map(|same| {
            from += same.len();
            (same[0].0, from - same.len(), from)
        })
        .collect()
}

/// A column of the padded mask between its columns `low` and `low + 1`. The last element repeats the one before it.
fn blend(mask: &[f32], side: usize, low: usize, upper: f32, column: &mut [f32]) {
    let at = |row: usize, col: usize| {
        let inside = (PADDING..side + PADDING).contains(&col);
        if inside {
            mask[row * side + col - PADDING]
        } else {
            0.0
        }
    };
    column.fill(0.0);
    for row in 0..side {
        column[row + PADDING] = at(row, low) * (1.0 - upper) + at(row, low + 1) * upper;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask of ones in the box 10, 10, 13, 13 grows to 9..=13 (half of 3 * 30 / 28 is 1.607: 9.89 to 13.1).
    #[test]
    fn ones_fill_their_box() {
        let rle = paste(&[1.0; 784], 28, [10.0, 10.0, 13.0, 13.0], [20, 30]);
        // 5 columns, rows 9..=13: all five source pixels lie within the ones.
        assert_eq!(rle.counts, [9 * 20 + 9, 5, 15, 5, 15, 5, 15, 5, 15, 5, 16 * 20 + 6]);
        assert_eq!(rle.counts.iter().sum::<u32>(), 600);
        assert_eq!(rle.area(), 25);
    }

    #[test]
    fn nothing_is_one_run_and_outside_is_nothing() {
        assert_eq!(paste(&[0.2; 784], 28, [1.0, 1.0, 9.0, 9.0], [10, 12]).counts, [120]);
        assert_eq!(paste(&[1.0; 784], 28, [50.0, 1.0, 59.0, 9.0], [10, 12]).counts, [120]);
        assert_eq!(paste(&[1.0; 784], 28, [-50.0, -9.0, -40.0, -3.0], [10, 12]).counts, [120]);
        assert_eq!(paste(&[1.0; 784], 28, [f32::NAN; 4], [10, 12]).counts.iter().sum::<u32>(), 120);
        assert_eq!(paste(&[1.0; 784], 28, [-1e30, -1e30, 1e30, 1e30], [10, 12]).counts.iter().sum::<u32>(), 120);
    }

    /// A full column joins the next one: runs do not stop at column ends.
    #[test]
    fn runs_cross_columns() {
        let rle = paste(&[1.0; 784], 28, [0.0, -40.0, 11.0, 50.0], [10, 12]);
        assert_eq!(rle.counts, [0, 120]);
    }
}
