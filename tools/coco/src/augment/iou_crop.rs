//! Random IoU crop (Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2): a window is drawn until one object
//! overlaps it by at least a drawn IoU. Objects whose centre lies outside are dropped. torchvision's `RandomIoUCrop`.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use repghost_config::{Check, Checker};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Step, MIN_SIDE};
use crate::sample::{Sample, Window};
use crate::types::BoxXyxy;

/// Random crops that overlap objects by a drawn IoU; `{}` for SSD's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IouCropConfig {
    /// Smallest and largest share of each side.
    #[schemars(inner(range(min = 0.01, max = 1.0)))]
    pub scale: [f64; 2],
    /// Smallest and largest width / height.
    #[schemars(inner(range(min = 0.01, max = 100.0)))]
    pub aspect: [f64; 2],
    /// Least IoUs to draw from; 1 or more means no crop.
    #[schemars(length(min = 1), inner(range(min = 0.0)))]
    pub min_ious: Vec<f64>,
    /// Windows drawn for one IoU before another IoU is drawn.
    #[schemars(range(min = 1, max = 1000))]
    pub trials: usize,
}

impl Default for IouCropConfig {
    fn default() -> Self {
        Self { scale: [0.3, 1.0], aspect: [0.5, 2.0], min_ious: vec![0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0], trials: 40 }
    }
}

/// IoUs drawn before the image is left as it is, so that an option list without 1 ends as well.
const MAX_DRAWS: usize = 50;

/// A drawn window and the objects that stay.
#[derive(Clone, Debug, PartialEq)]
pub struct IouCrop {
    /// The window.
    pub window: Window,
    /// Whether each object's centre is inside.
    pub keep: Vec<bool>,
}

impl Check for IouCropConfig {
    fn rules(&self, at: &mut Checker) {
        at.ordered("scale", self.scale);
        at.ordered("aspect", self.aspect);
    }
}

impl Step for IouCropConfig {
    fn apply(&self, sample: &mut Sample, rng: &mut ChaCha8Rng) {
        if let Some(crop) = self.draw(sample.size(), &sample.target.boxes, rng) {
            sample.retain(|i, _| crop.keep.get(i).copied().unwrap_or(false));
            sample.crop(crop.window, MIN_SIDE);
        }
    }
}

impl IouCropConfig {
    /// Draws a window for an image of a width and height; `None` leaves the image whole.
    pub fn draw(&self, size: [usize; 2], boxes: &[BoxXyxy], rng: &mut impl Rng) -> Option<IouCrop> {
        for _ in 0..MAX_DRAWS {
            let min_iou = *self.min_ious.get(rng.random_range(0..self.min_ious.len().max(1)))?;
            if min_iou >= 1.0 || boxes.is_empty() {
                return None;
            }
            for _ in 0..self.trials {
                let window = self.window(size, rng);
                if let Some(crop) = window.and_then(|w| accept(w, boxes, min_iou)) {
                    return Some(crop);
                }
            }
        }
        None
    }

    fn window(&self, size: [usize; 2], rng: &mut impl Rng) -> Option<Window> {
        let sides = size.map(|s| (s as f64 * (self.scale[0] + rng.random::<f64>() * (self.scale[1] - self.scale[0]))) as usize);
        let at = [0, 1].map(|axis| ((size[axis] - sides[axis]) as f64 * rng.random::<f64>()) as usize);
        let aspect = sides[0] as f64 / sides[1] as f64;
        let fits = sides[0] > 0 && sides[1] > 0 && (self.aspect[0]..=self.aspect[1]).contains(&aspect);
        fits.then_some(Window { x: at[0], y: at[1], width: sides[0], height: sides[1] })
    }
}

/// The objects that a window keeps, where one of them overlaps it enough.
fn accept(window: Window, boxes: &[BoxXyxy], min_iou: f64) -> Option<IouCrop> {
    let edges = [window.x, window.y, window.x + window.width, window.y + window.height].map(|v| v as f32);
    let inside = |b: &BoxXyxy| {
        let (cx, cy) = (0.5 * (b[0] + b[2]), 0.5 * (b[1] + b[3]));
        edges[0] < cx && cx < edges[2] && edges[1] < cy && cy < edges[3]
    };
    let keep: Vec<bool> = boxes.iter().map(inside).collect();
    let best = boxes
        .iter()
        .zip(&keep)
        .filter(|(_, &k)| k)
        .map(|(b, _)| iou(b, &edges))
        .fold(None, |best: Option<f64>, v| Some(best.map_or(v, |b| b.max(v))));
    (best? >= min_iou).then_some(IouCrop { window, keep })
}

fn iou(a: &BoxXyxy, b: &BoxXyxy) -> f64 {
    let area = |b: &BoxXyxy| f64::from(b[2] - b[0]) * f64::from(b[3] - b[1]);
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let common = f64::from(width) * f64::from(height);
    common / (area(a) + area(b) - common)
}
