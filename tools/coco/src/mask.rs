//! Masks between the annotation file and the loss.
//!
//! A mask travels as its outline ([`MaskShape`]: polygons, or the file's run lengths) with one axis-aligned map that every
//! augmentation updates, and becomes pixels once, at the end. So polygons stay exact however often an image is resized,
//! flipped and cropped (detectron2 does the same), run-length masks are resampled once, and an image with 90 objects needs no
//! 90 images of memory: pixels exist for the tight crop only ([`InstanceMask`]). Polygons are filled as pycocotools fills them.

use std::borrow::Cow;

use crate::annotations::{Rle, Segmentation};
use crate::types::InstanceMask;

impl InstanceMask {
    /// A mask without a pixel set.
    pub fn empty() -> Self {
        InstanceMask { origin: [0, 0], size: [0, 0], bits: Vec::new() }
    }

    /// Number of pixels set.
    pub fn area(&self) -> u64 {
        self.bits.iter().map(|&bit| u64::from(bit)).sum()
    }

    /// The tight crop of a run-length mask.
    pub fn from_rle(rle: &Rle) -> Self {
        let [x, y, width, height] = rle.bbox().map(|v| v as usize);
        if width == 0 || height == 0 {
            return Self::empty();
        }
        let rows = rle.size[0] as usize;
        let mut bits = vec![0u8; width * height];
        let (mut at, mut object) = (0usize, false);
        for &run in &rle.counts {
            let end = at + run as usize;
            while object && at < end {
                // One column's part of the run at a time.
                let (column, top) = (at / rows, at % rows);
                let stop = rows.min(top + end - at);
                for row in top..stop {
                    if let Some(bit) = bits.get_mut((row - y) * width + column - x) {
                        *bit = 1;
                    }
                }
                at += stop - top;
            }
            at = end;
            object = !object;
        }
        InstanceMask { origin: [x as i32, y as i32], size: [height, width], bits }
    }

    /// Run lengths on an image of this size; pixels outside it are cut off.
    pub fn to_rle(&self, height: u32, width: u32) -> Rle {
        let [rows, columns] = self.size;
        let (left, top) = (i64::from(self.origin[0]), i64::from(self.origin[1]));
        let first = (-left).max(0) as usize..((i64::from(width) - left).clamp(0, columns as i64) as usize);
        let span = (-top).max(0) as usize..((i64::from(height) - top).clamp(0, rows as i64) as usize);
        let mut runs = Runs::default();
        for column in first {
            let start = (left + column as i64) as u64 * u64::from(height);
            for row in span.clone() {
                if self.bits.get(row * columns + column).is_some_and(|&bit| bit != 0) {
                    runs.set(start + (top + row as i64) as u64);
                }
            }
        }
        Rle { size: [height, width], counts: runs.finish(u64::from(height) * u64::from(width)) }
    }

    /// The tight crop of what lies inside `window` (x1, y1, x2, y2, a pixel counts by its centre).
    pub fn cropped(&self, window: [f64; 4]) -> Self {
        let [rows, columns] = self.size;
        let inside = |row: usize, column: usize| {
            let (x, y) = (f64::from(self.origin[0]) + column as f64 + 0.5, f64::from(self.origin[1]) + row as f64 + 0.5);
            x > window[0] && y > window[1] && x < window[2] && y < window[3]
        };
        Self::tight(self.origin, [rows, columns], |row, column| {
            inside(row, column) && self.bits.get(row * columns + column).is_some_and(|&bit| bit != 0)
        })
    }

    /// Samples a region and keeps the tight crop of the set pixels.
    fn tight(origin: [i32; 2], size: [usize; 2], set: impl Fn(usize, usize) -> bool) -> Self {
        let [rows, columns] = size;
        let mut bits = vec![0u8; rows * columns];
        let (mut top, mut bottom, mut left, mut right) = (rows, 0, columns, 0);
        for (row, line) in bits.chunks_exact_mut(columns.max(1)).enumerate() {
            for (column, bit) in line.iter_mut().enumerate() {
                if set(row, column) {
                    *bit = 1;
                    (top, bottom) = (top.min(row), bottom.max(row + 1));
                    (left, right) = (left.min(column), right.max(column + 1));
                }
            }
        }
        if top >= bottom {
            return Self::empty();
        }
        let lines = bits.chunks_exact(columns).skip(top).take(bottom - top);
        let bits = lines.flat_map(|line| line.iter().skip(left).take(right - left).copied()).collect();
        InstanceMask { origin: [origin[0] + left as i32, origin[1] + top as i32], size: [bottom - top, right - left], bits }
    }
}

/// Collects set pixels in ascending order as runs.
#[derive(Default)]
struct Runs {
    counts: Vec<u32>,
    /// First pixel after the last run of set pixels.
    end: u64,
}

impl Runs {
    fn set(&mut self, pixel: u64) {
        match self.counts.last_mut() {
            Some(run) if pixel == self.end => *run += 1,
            _ => self.counts.extend([(pixel - self.end) as u32, 1]),
        }
        self.end = pixel + 1;
    }

    fn finish(mut self, pixels: u64) -> Vec<u32> {
        if pixels > self.end || self.counts.is_empty() {
            self.counts.push((pixels - self.end) as u32);
        }
        self.counts
    }
}

/// The outline of an object under the augmentations so far.
#[derive(Clone, Debug)]
pub struct MaskShape<'a> {
    segmentation: Cow<'a, Segmentation>,
    /// x' = scale x + shift, for x and y.
    scale: [f64; 2],
    shift: [f64; 2],
    /// What the crops so far left over, in current coordinates.
    window: [f64; 4],
}

impl<'a> MaskShape<'a> {
    /// The outline as the file has it; `None` where an object has only a box.
    pub fn new(segmentation: &'a Segmentation) -> Option<Self> {
        Self::of(Cow::Borrowed(segmentation))
    }

    fn of(segmentation: Cow<'a, Segmentation>) -> Option<Self> {
        let window = [f64::NEG_INFINITY, f64::NEG_INFINITY, f64::INFINITY, f64::INFINITY];
        (!segmentation.is_none()).then_some(MaskShape { segmentation, scale: [1.0; 2], shift: [0.0; 2], window })
    }

    /// [`Self::new`] with an outline of its own, for samples that outlive their data set's borrow.
    pub fn owned(segmentation: Segmentation) -> Option<MaskShape<'static>> {
        MaskShape::of(Cow::Owned(segmentation))
    }

    /// Memory that the outline takes, about.
    pub(crate) fn bytes(&self) -> usize {
        let outline = match &*self.segmentation {
            Segmentation::None => 0,
            Segmentation::Polygons(polygons) => polygons.iter().map(|p| size_of_val(p.as_slice())).sum(),
            Segmentation::Rle(rle) => size_of_val(rle.counts.as_slice()),
        };
        size_of::<Self>() + outline
    }

    /// Resizes by factors for x and y.
    pub fn resize(&mut self, factors: [f64; 2]) {
        self.apply(factors, [0.0; 2]);
    }

    /// Mirrors left and right in an image of this width.
    pub fn flip_horizontal(&mut self, width: f64) {
        self.apply([-1.0, 1.0], [width, 0.0]);
    }

    /// Moves, as pasting onto a larger canvas does.
    pub fn shift(&mut self, by: [f64; 2]) {
        self.apply([1.0; 2], by);
    }

    /// Cuts out a window (x1, y1, x2, y2), whose corner becomes the origin. What is outside is gone for good.
    pub fn crop(&mut self, window: [f64; 4]) {
        let [x1, y1, x2, y2] = self.window;
        self.window = [x1.max(window[0]), y1.max(window[1]), x2.min(window[2]), y2.min(window[3])];
        self.shift([-window[0], -window[1]]);
    }

    fn apply(&mut self, scale: [f64; 2], shift: [f64; 2]) {
        for axis in 0..2 {
            self.scale[axis] *= scale[axis];
            self.shift[axis] = self.shift[axis] * scale[axis] + shift[axis];
            let ends = [self.window[axis], self.window[axis + 2]].map(|v| v * scale[axis] + shift[axis]);
            self.window[axis] = ends[0].min(ends[1]);
            self.window[axis + 2] = ends[0].max(ends[1]);
        }
    }

    /// The pixels on an image of this size.
    pub fn rasterise(&self, height: u32, width: u32) -> InstanceMask {
        let canvas = [0.0, 0.0, f64::from(width), f64::from(height)];
        let cut = self.window[0] > 0.0 || self.window[1] > 0.0 || self.window[2] < canvas[2] || self.window[3] < canvas[3];
        let window = [
            self.window[0].max(canvas[0]),
            self.window[1].max(canvas[1]),
            self.window[2].min(canvas[2]),
            self.window[3].min(canvas[3]),
        ];
        match &*self.segmentation {
            Segmentation::None => InstanceMask::empty(),
            Segmentation::Polygons(polygons) => {
                let moved: Vec<Vec<f64>> = polygons.iter().map(|polygon| self.moved(polygon)).collect();
                // Fails only where the image has more than 2^32 pixels, which no decoder here hands out.
                let rle = hotcoco::mask::fr_polys(&moved, height, width).map(Rle::from);
                let mask = rle.map_or_else(|_| InstanceMask::empty(), |rle| InstanceMask::from_rle(&rle));
                if cut {
                    mask.cropped(window)
                } else {
                    mask
                }
            }
            Segmentation::Rle(rle) => {
                let source = InstanceMask::from_rle(rle);
                if self.scale == [1.0; 2] && self.shift == [0.0; 2] && !cut {
                    source
                } else {
                    self.resample(&source, window)
                }
            }
        }
    }

    fn moved(&self, polygon: &[f64]) -> Vec<f64> {
        polygon.iter().enumerate().map(|(i, &v)| v * self.scale[i % 2] + self.shift[i % 2]).collect()
    }

    /// Nearest sampling at pixel centres inside `window`.
    fn resample(&self, source: &InstanceMask, window: [f64; 4]) -> InstanceMask {
        let mut range = [[0i64; 2]; 2];
        for axis in 0..2 {
            let near = f64::from(source.origin[axis]);
            let far = near + source.size[1 - axis] as f64;
            let ends = [near, far].map(|v| v * self.scale[axis] + self.shift[axis]);
            let low = ends[0].min(ends[1]).floor().max(window[axis].floor());
            let high = ends[0].max(ends[1]).ceil().min(window[axis + 2].ceil());
            range[axis] = [low as i64, high as i64];
        }
        let span = |axis: usize| (range[axis][1] - range[axis][0]).max(0) as usize;
        let [rows, columns] = source.size;
        let at = |axis: usize, offset: usize| {
            let centre = range[axis][0] as f64 + offset as f64 + 0.5;
            let inside = centre > window[axis] && centre < window[axis + 2];
            let from = (centre - self.shift[axis]) / self.scale[axis] - f64::from(source.origin[axis]);
            (inside && from >= 0.0).then_some(from.floor() as usize)
        };
        let from_x: Vec<Option<usize>> = (0..span(0)).map(|i| at(0, i).filter(|&x| x < columns)).collect();
        let from_y: Vec<Option<usize>> = (0..span(1)).map(|i| at(1, i).filter(|&y| y < rows)).collect();
        InstanceMask::tight([range[0][0] as i32, range[1][0] as i32], [span(1), span(0)], |row, column| {
            match (from_y.get(row).copied().flatten(), from_x.get(column).copied().flatten()) {
                (Some(y), Some(x)) => source.bits.get(y * columns + x).is_some_and(|&bit| bit != 0),
                _ => false,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of text, '#' is set.
    fn mask(origin: [i32; 2], rows: &[&str]) -> InstanceMask {
        let bits = rows.iter().flat_map(|row| row.bytes().map(|b| u8::from(b == b'#'))).collect();
        InstanceMask { origin, size: [rows.len(), rows[0].len()], bits }
    }

    fn l_shape() -> Segmentation {
        Segmentation::Rle(mask([1, 2], &["#..", "#..", "###"]).to_rle(8, 6))
    }

    #[test]
    fn run_lengths_round_trip() {
        let shape = mask([1, 2], &["#..", "#..", "###"]);
        let rle = shape.to_rle(8, 6);
        // Column 1 from row 2: 8 + 2 background, 3 set; column 2: row 4; column 3: row 4.
        assert_eq!(rle.counts, [10, 3, 7, 1, 7, 1, 19]);
        assert_eq!(InstanceMask::from_rle(&rle), shape);
        assert_eq!((shape.area(), rle.area(), rle.bbox()), (5, 5, [1.0, 2.0, 3.0, 3.0]));
        assert_eq!(InstanceMask::from_rle(&Rle::empty(4, 4)), InstanceMask::empty());
        assert_eq!(InstanceMask::empty().to_rle(4, 4), Rle::empty(4, 4));
        // What hangs over the border is cut off.
        assert_eq!(mask([-1, 3], &["##", "##"]).to_rle(4, 4).counts, [3, 1, 12]);
        assert_eq!(mask([0, 0], &["##", "##"]).to_rle(2, 2).counts, [0, 4]);
    }

    #[test]
    fn run_length_masks_follow_the_image() {
        let shape = l_shape();
        let mut flipped = MaskShape::new(&shape).unwrap();
        flipped.flip_horizontal(6.0);
        assert_eq!(flipped.rasterise(8, 6), mask([2, 2], &["..#", "..#", "###"]));

        let mut doubled = MaskShape::new(&shape).unwrap();
        doubled.resize([2.0, 2.0]);
        let expected = mask([2, 4], &["##....", "##....", "##....", "##....", "######", "######"]);
        assert_eq!(doubled.rasterise(16, 12), expected);
        doubled.resize([0.5, 0.5]);
        assert_eq!(doubled.rasterise(8, 6), mask([1, 2], &["#..", "#..", "###"]));

        // Cropped away, then pasted onto a larger canvas: the cut part does not come back.
        let mut cropped = MaskShape::new(&shape).unwrap();
        cropped.crop([2.0, 0.0, 6.0, 8.0]);
        assert_eq!(cropped.rasterise(8, 4), mask([0, 4], &["##"]));
        cropped.shift([5.0, 1.0]);
        assert_eq!(cropped.rasterise(12, 12), mask([5, 5], &["##"]));
    }

    #[test]
    fn polygons_follow_as_polygons() {
        let shape = Segmentation::Polygons(vec![vec![1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]]);
        let mut moved = MaskShape::new(&shape).unwrap();
        assert_eq!(moved.rasterise(8, 8), mask([1, 1], &["###", "###"]));
        moved.flip_horizontal(8.0);
        assert_eq!(moved.rasterise(8, 8), mask([4, 1], &["###", "###"]));
        moved.resize([2.0, 1.0]);
        assert_eq!(moved.rasterise(8, 16), mask([8, 1], &["######", "######"]));
        moved.crop([10.0, 0.0, 16.0, 2.0]);
        assert_eq!(moved.rasterise(2, 6), mask([0, 1], &["####"]));
        moved.shift([0.0, 3.0]);
        assert_eq!(moved.rasterise(8, 8), mask([0, 4], &["####"]), "what the crop removed stays away");
        assert!(MaskShape::new(&Segmentation::None).is_none());
    }
}
