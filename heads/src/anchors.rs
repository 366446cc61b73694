//! Anchors: the boxes that a detector's predictions are relative to.
//!
//! Every cell of every pyramid level carries a few boxes of fixed sizes and shapes, centred at the cell's corner point (Ren et al.
//! 2015; RetinaNet: Lin et al. 2017, section 4). Sizes grow with the level's stride: a level looks for objects of its own size.
//! Rounding follows torchvision: sizes are cut to integers, corners of the base boxes are rounded (half to even), and the spacing
//! is the padded image's size divided by the grid's, cut to an integer.

use std::sync::{Arc, Mutex};

use repghost_backbone::backbone::level_names;
use repghost_config::{items_above_zero, Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::box_coder::Corners;
use crate::boxes::from_corners;
use crate::error::HeadError;

/// The keys below `model.head.anchors`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnchorConfig {
    /// Size of a level's smallest anchors in units of its stride (4 gives 32, 64, 128, 256, 512 on P3 to P7).
    #[schemars(extend("exclusiveMinimum" = 0, "x-unit" = "strides"))]
    pub octave_base_scale: f64,
    /// Sizes per level: this many steps from one level's size to the next one's.
    #[schemars(range(min = 1))]
    pub scales_per_octave: usize,
    /// Sizes in pixels for each level, instead of the two keys above.
    #[schemars(transform = items_above_zero, extend("x-unit" = "pixels"))]
    pub sizes: Option<Vec<Vec<f64>>>,
    /// Height over width.
    #[schemars(length(min = 1), transform = items_above_zero)]
    pub aspect_ratios: Vec<f64>,
}

impl Default for AnchorConfig {
    fn default() -> Self {
        Self { octave_base_scale: 4.0, scales_per_octave: 3, sizes: None, aspect_ratios: vec![0.5, 1.0, 2.0] }
    }
}

impl Check for AnchorConfig {
    fn rules(&self, at: &mut Checker) {
        same_lengths(at, "sizes", &self.sizes);
    }
}

/// Anchor sizes by level: as many on each.
pub(crate) fn same_lengths(at: &mut Checker, field: &str, sizes: &Option<Vec<Vec<f64>>>) {
    let Some(sizes) = sizes else { return };
    let first = sizes.first().map_or(0, Vec::len);
    let expected = "one list of sizes for each pyramid level, all of one length";
    at.require(first > 0 && sizes.iter().all(|s| s.len() == first), field, format!("{sizes:?}"), expected);
}

/// Anchor sizes that are listed level by level: a list for each level of the pyramid.
pub(crate) fn one_list_per_level(at: &mut Checker, field: &str, sizes: &Option<Vec<Vec<f64>>>, pyramid: &[u32]) {
    let Some(sizes) = sizes else { return };
    let expected = format!("{}, one per pyramid level ({})", pyramid.len(), level_names("P", pyramid).join(", "));
    at.require(sizes.len() == pyramid.len(), field, format!("{} lists", sizes.len()), expected);
}

impl AnchorConfig {
    /// The generator for pyramid levels `levels` (3 has stride 8).
    ///
    /// # Errors
    /// No sizes or ratios, sizes that are not positive, another number of sizes than levels, levels with different numbers of sizes.
    pub fn build(&self, levels: &[u32]) -> Result<AnchorGenerator, HeadError> {
        let positive = |v: &f64| v.is_finite() && *v > 0.0;
        if self.aspect_ratios.is_empty() || !self.aspect_ratios.iter().all(positive) {
            let found = format!("{:?}", self.aspect_ratios);
            return Err(HeadError::range("model.head.anchors.aspect_ratios", found, "a list of positive numbers"));
        }
        let sizes = match &self.sizes {
            Some(sizes) => sizes.clone(),
            None => {
                if !positive(&self.octave_base_scale) {
                    return Err(HeadError::range("model.head.anchors.octave_base_scale", self.octave_base_scale, "positive"));
                }
                levels.iter().map(|&level| self.octave(level)).collect()
            }
        };
        let first = sizes.first().map_or(0, Vec::len);
        if first == 0 || sizes.len() != levels.len() || !sizes.iter().all(|s| s.len() == first && s.iter().all(positive)) {
            let expected = "one list of positive sizes for each pyramid level, all of one length";
            return Err(HeadError::range("model.head.anchors.sizes", format!("{sizes:?} for levels {levels:?}"), expected));
        }
        let base = sizes.iter().map(|sizes| base_anchors(sizes, &self.aspect_ratios)).collect();
        Ok(AnchorGenerator { levels: levels.to_vec(), base, cache: Arc::default() })
    }

    fn octave(&self, level: u32) -> Vec<f64> {
        let base = self.octave_base_scale * f64::from(1 << level);
        let steps = self.scales_per_octave;
        (0..steps).map(|k| base * 2f64.powf(k as f64 / steps as f64)).map(|s| s.trunc().max(1.0)).collect()
    }
}

/// Boxes around the origin, by ratio and then by size, as torchvision lays them out (in single precision, as there).
fn base_anchors(sizes: &[f64], ratios: &[f64]) -> Vec<Corners> {
    let boxes = ratios.iter().flat_map(|&ratio| {
        let h_ratio = (ratio as f32).sqrt();
        let w_ratio = 1.0 / h_ratio;
        sizes.iter().map(move |&size| [w_ratio * size as f32, h_ratio * size as f32])
    });
    boxes.map(|[w, h]| [-w, -h, w, h].map(|v| (v / 2.0).round_ties_even())).collect()
}

/// Anchors of one padded image size, all levels one after another: position (row by row), then base box.
#[derive(Debug, PartialEq)]
pub struct AnchorSet {
    /// All of them, from the finest level to the coarsest.
    pub boxes: Vec<Corners>,
    /// How many belong to each level.
    pub per_level: Vec<usize>,
}

impl AnchorSet {
    /// `[n, 4]` on a device.
    pub fn tensor(&self, device: Device) -> Tensor {
        from_corners(&self.boxes).to_device(device)
    }

    /// Start and end of each level within [`AnchorSet::boxes`].
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.per_level.iter().scan(0, |start, n| {
            let range = *start..*start + n;
            *start = range.end;
            Some(range)
        })
    }
}

/// Makes anchors, and keeps those of the last few image sizes. Clones share what is kept.
#[derive(Clone, Debug)]
pub struct AnchorGenerator {
    levels: Vec<u32>,
    base: Vec<Vec<Corners>>,
    cache: Arc<Mutex<Vec<CachedAnchors>>>,
}

/// Anchors of an image size.
type CachedAnchors = ([i64; 2], Arc<AnchorSet>);

/// Image sizes whose anchors are kept; multi-scale training has a handful.
const CACHED_SIZES: usize = 16;

impl AnchorGenerator {
    /// Base boxes at a cell.
    pub fn per_location(&self) -> usize {
        self.base.first().map_or(0, Vec::len)
    }

    /// Pyramid levels.
    pub fn levels(&self) -> &[u32] {
        &self.levels
    }

    /// Height and width of `level`'s grid for a padded image of `size` (height, width).
    ///
    /// Every layer of stride 2 halves and rounds up, so the grid is known without running the network.
    pub fn grid(size: [i64; 2], level: u32) -> [i64; 2] {
        size.map(|s| (s + (1 << level) - 1) >> level)
    }

    /// Anchors for a padded image of `size` (height, width).
    pub fn anchors(&self, size: [i64; 2]) -> Arc<AnchorSet> {
        let mut cache = self.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(at) = cache.iter().position(|(s, _)| *s == size) {
            cache[..=at].rotate_right(1);
        } else {
            cache.truncate(CACHED_SIZES - 1);
            cache.insert(0, (size, Arc::new(self.generate(size))));
        }
        cache[0].1.clone()
    }

    fn generate(&self, size: [i64; 2]) -> AnchorSet {
        let mut set = AnchorSet { boxes: Vec::new(), per_level: Vec::new() };
        for (&level, base) in self.levels.iter().zip(&self.base) {
            let grid = Self::grid(size, level);
            let step = [size[0] / grid[0].max(1), size[1] / grid[1].max(1)];
            for row in 0..grid[0] {
                for column in 0..grid[1] {
                    let (x, y) = ((column * step[1]) as f32, (row * step[0]) as f32);
                    set.boxes.extend(base.iter().map(|b| [b[0] + x, b[1] + y, b[2] + x, b[3] + y]));
                }
            }
            set.per_level.push((grid[0] * grid[1]) as usize * base.len());
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes 32, 40, 50 (32 * 2^(1/3) = 40.3, 32 * 2^(2/3) = 50.8). Ratio 0.5: w = 32 * 1.4142 = 45.25, h = 22.63; halves 22.6 and
    /// 11.3 round to 23 and 11. Ratio 1: halves 16, 20, 25. Ratio 2 is ratio 0.5 turned.
    #[test]
    fn base_boxes_by_hand() {
        let generator = AnchorConfig::default().build(&[3, 4, 5, 6, 7]).unwrap();
        let expected = [
            [-23.0, -11.0, 23.0, 11.0],
            [-28.0, -14.0, 28.0, 14.0],
            [-35.0, -18.0, 35.0, 18.0],
            [-16.0, -16.0, 16.0, 16.0],
            [-20.0, -20.0, 20.0, 20.0],
            [-25.0, -25.0, 25.0, 25.0],
            [-11.0, -23.0, 11.0, 23.0],
            [-14.0, -28.0, 14.0, 28.0],
            [-18.0, -35.0, 18.0, 35.0],
        ];
        assert_eq!(generator.base[0], expected);
        assert_eq!(generator.base[4][3], [-256.0, -256.0, 256.0, 256.0]);
        assert_eq!(generator.per_location(), 9);
    }

    /// 320 pixels: grids 40, 20, 10, 5 and 3 (the fifth rounds up), so P7's spacing is 320 / 3 = 106.
    #[test]
    fn grids_and_spacing() {
        let generator = AnchorConfig::default().build(&[3, 4, 5, 6, 7]).unwrap();
        let set = generator.anchors([320, 320]);
        assert_eq!(set.per_level, [40 * 40 * 9, 20 * 20 * 9, 10 * 10 * 9, 5 * 5 * 9, 3 * 3 * 9]);
        assert_eq!(set.boxes[9 + 3], [-16.0 + 8.0, -16.0, 16.0 + 8.0, 16.0], "second cell, ratio 1");
        assert_eq!(set.boxes[40 * 9 + 3], [-16.0, -16.0 + 8.0, 16.0, 16.0 + 8.0], "second row");
        let last = set.ranges().last().unwrap();
        assert_eq!(last.end, set.boxes.len());
        assert_eq!(set.boxes[last][9 + 3], [-256.0 + 106.0, -256.0, 256.0 + 106.0, 256.0]);
        assert!(Arc::ptr_eq(&set, &generator.anchors([320, 320])), "cached");
        for n in 0..40 {
            generator.anchors([32 + n, 64]);
        }
        assert_eq!(generator.cache.lock().unwrap().len(), CACHED_SIZES);
    }

    #[test]
    fn refuses_what_makes_no_anchors() {
        let none = AnchorConfig { aspect_ratios: vec![], ..Default::default() };
        let message = none.build(&[3]).unwrap_err().to_string();
        assert!(message.starts_with("model.head.anchors.aspect_ratios: []"), "{message}");
        let uneven = AnchorConfig { sizes: Some(vec![vec![8.0], vec![16.0, 20.0]]), ..Default::default() };
        assert!(uneven.build(&[3, 4]).is_err());
        let missing = AnchorConfig { sizes: Some(vec![vec![8.0]]), ..Default::default() };
        assert!(missing.build(&[3, 4]).is_err());
        assert!(AnchorConfig { scales_per_octave: 0, ..Default::default() }.build(&[3]).is_err());
        assert!(AnchorConfig { octave_base_scale: f64::NAN, ..Default::default() }.build(&[3]).is_err());
    }
}
