//! Where RoIAlign samples: bilinear weights, one axis at a time.
//!
//! RoIAlign (He et al., Mask R-CNN, section 3) averages a few bilinear samples in each bin of a region of interest. The sample
//! grid is a product of rows and columns, a bilinear weight is a product of a vertical and a horizontal one, and the rule that
//! zeroes samples beyond the border looks at each axis alone. So the whole operation is separable: with `Ay[ph, y]` and
//! `Ax[pw, x]` from this file, `out[ph, pw] = sum_y sum_x Ay[ph, y] * Ax[pw, x] * F[y, x]`.
//!
//! Arithmetic is in `f32` and in torchvision's order, so that borders fall on the same side.

/// How a region is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Bins a side.
    pub output: usize,
    /// Samples a bin and axis; 0 takes as many as a bin has pixels (torchvision's -1).
    pub ratio: usize,
    /// Shifts by half a pixel, as is right; torchvision's models do not.
    pub aligned: bool,
}

/// More samples than this on one axis of a bin are a runaway box, not a region.
const MAX_SAMPLES: f32 = 65_536.0;

/// The non-zero weights of one axis: bin `b` has the taps `starts[b]..starts[b + 1]`, ascending and without repeats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AxisTaps {
    /// First tap of each bin, and one past the last.
    pub starts: Vec<u32>,
    /// Pixel of each tap.
    pub index: Vec<u32>,
    /// Weight of each tap; the division by the number of samples is in it.
    pub weight: Vec<f32>,
}

impl AxisTaps {
    /// The taps of the interval `lo..hi` (image pixels) on an axis of `size` feature pixels that are `1 / scale` image pixels wide.
    pub fn new(sampling: Sampling, lo: f32, hi: f32, scale: f32, size: usize) -> Self {
        let Sampling { output, ratio, aligned } = sampling;
        let offset = if aligned { 0.5 } else { 0.0 };
        let start = lo * scale - offset;
        let mut length = hi * scale - offset - start;
        if !aligned {
            length = length.max(1.0);
        }
        let bin = length / output as f32;
        let grid = if ratio > 0 { ratio as f32 } else { (length / output as f32).ceil() };
        let mut taps = Self { starts: Vec::with_capacity(output + 1), ..Self::default() };
        taps.starts.push(0);
        // A region that is not finite has no samples; neither has an adaptive one of negative size.
        let sound = grid <= MAX_SAMPLES && start.is_finite() && size > 0;
        let samples = if sound { grid.max(0.0) as usize } else { 0 };
        for b in 0..output {
            let first = taps.index.len();
            for i in 0..samples {
                let at = start + b as f32 * bin + (i as f32 + 0.5) * bin / grid;
                taps.sample(first, at, 1.0 / grid, size);
            }
            taps.starts.push(taps.index.len() as u32);
        }
        taps
    }

    /// Number of bins.
    pub fn bins(&self) -> usize {
        self.starts.len() - 1
    }

    /// Pixels and weights of bin `b`.
    pub fn bin(&self, b: usize) -> (&[u32], &[f32]) {
        let range = self.starts[b] as usize..self.starts[b + 1] as usize;
        (&self.index[range.clone()], &self.weight[range])
    }

    fn sample(&mut self, first: usize, at: f32, share: f32, size: usize) {
        if at < -1.0 || at > size as f32 {
            return;
        }
        let at = at.max(0.0);
        let low = at as usize;
        if low >= size - 1 {
            self.add(first, size - 1, share);
        } else {
            let upper = at - low as f32;
            self.add(first, low, (1.0 - upper) * share);
            self.add(first, low + 1, upper * share);
        }
    }

    /// Adds to the tap at `pixel` of the bin that begins at tap `first`. Samples ascend, so a repeat is near the end.
    fn add(&mut self, first: usize, pixel: usize, weight: f32) {
        let pixel = pixel as u32;
        match self.index[first..].iter().rposition(|p| *p == pixel) {
            Some(i) => self.weight[first + i] += weight,
            None => {
                self.index.push(pixel);
                self.weight.push(weight);
            }
        }
    }
}

/// The taps of one region, made ready for a kernel that goes over rows.
#[derive(Clone, Debug)]
pub(crate) struct RoiTaps {
    /// Horizontal taps, by column bin.
    pub x: AxisTaps,
    /// Vertical taps as (row, row bin, weight), by row.
    pub rows: Vec<(u32, u32, f32)>,
}

impl RoiTaps {
    /// The taps of `bbox` on a map of `size` (height, width).
    pub fn new(sampling: Sampling, bbox: [f32; 4], scale: f32, size: [usize; 2]) -> Self {
        let y = AxisTaps::new(sampling, bbox[1], bbox[3], scale, size[0]);
        let x = AxisTaps::new(sampling, bbox[0], bbox[2], scale, size[1]);
        let mut rows = Vec::with_capacity(y.index.len());
        for b in 0..y.bins() {
            let (index, weight) = y.bin(b);
            rows.extend(index.iter().zip(weight).map(|(i, w)| (*i, b as u32, *w)));
        }
        rows.sort_unstable_by_key(|r| (r.0, r.1));
        Self { x, rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: Sampling = Sampling { output: 2, ratio: 2, aligned: false };

    /// By hand: 0..4 in two bins of 2, samples at 0.5, 1.5 | 2.5, 3.5, each half between two pixels.
    #[test]
    fn halves() {
        let t = AxisTaps::new(TWO, 0.0, 4.0, 1.0, 8);
        assert_eq!(t.starts, [0, 3, 6]);
        assert_eq!(t.index, [0, 1, 2, 2, 3, 4]);
        assert_eq!(t.weight, [0.25, 0.5, 0.25, 0.25, 0.5, 0.25]);
    }

    /// Samples up to one pixel beyond the border are clamped to it, those further away are zero.
    #[test]
    fn border() {
        // -3..5 in bins of 4: samples at -2 (gone), 0 | 2, 4 (clamped to the last pixel, 3).
        let t = AxisTaps::new(TWO, -3.0, 5.0, 1.0, 4);
        assert_eq!((t.bin(0).0, t.bin(0).1), (&[0, 1][..], &[0.5, 0.0][..]));
        assert_eq!((t.bin(1).0, t.bin(1).1), (&[2, 3][..], &[0.5, 0.5][..]));
        // Wholly outside: no taps at all.
        assert!(AxisTaps::new(TWO, 50.0, 60.0, 1.0, 4).index.is_empty());
    }

    #[test]
    fn no_region_hangs_or_panics() {
        for (lo, hi) in [(f32::NAN, 1.0), (0.0, f32::INFINITY), (f32::NEG_INFINITY, 2.0), (5.0, 1.0), (0.0, 1e30)] {
            for ratio in [0, 2] {
                AxisTaps::new(Sampling { ratio, ..TWO }, lo, hi, 0.5, 4);
                AxisTaps::new(Sampling { ratio, aligned: true, ..TWO }, lo, hi, 0.5, 4);
            }
        }
        assert!(AxisTaps::new(Sampling { aligned: true, ratio: 0, ..TWO }, 5.0, 1.0, 1.0, 4).index.is_empty());
    }
}
