//! What goes into a detector and what comes out.

use tch::{Device, Kind, Tensor};

/// Images of different sizes, padded with zeros to one.
#[derive(Debug)]
pub struct ImageBatch {
    /// Normalised pixels `[N, 3, H, W]`.
    pub pixels: Tensor,
    /// True height and width of each image within the padding.
    pub sizes: Vec<[i64; 2]>,
}

/// A binary mask within a box: what lies outside is zero.
#[derive(Debug)]
pub struct CroppedMask {
    /// Left and top pixel of the crop in the (resized) image.
    pub origin: [i64; 2],
    /// `u8` zeros and ones `[h, w]`.
    pub bits: Tensor,
}

/// The objects of one image. Any number of them, none included.
#[derive(Debug)]
pub struct Target {
    /// `[n, 4]` corners x1, y1, x2, y2 in pixels of the (resized) image.
    pub boxes: Tensor,
    /// `[n]` class indices from 0, `i64`. (Mask R-CNN's background class is the head's own affair.)
    pub labels: Tensor,
    /// One mask an object, where masks are trained.
    pub masks: Option<Vec<CroppedMask>>,
}

impl Target {
    /// A target from plain data.
    pub fn new(boxes: &[[f32; 4]], labels: &[i64]) -> Self {
        let flat: Vec<f32> = boxes.iter().flatten().copied().collect();
        Self { boxes: Tensor::from_slice(&flat).view([-1, 4]), labels: Tensor::from_slice(labels), masks: None }
    }

    /// An image without objects.
    pub fn empty() -> Self {
        Self {
            boxes: Tensor::zeros([0, 4], (Kind::Float, Device::Cpu)),
            labels: Tensor::zeros([0], (Kind::Int64, Device::Cpu)),
            masks: None,
        }
    }
}

/// Named scalar losses, to be summed.
pub type Losses = Vec<(&'static str, Tensor)>;

/// What was found in one image, best first.
#[derive(Debug)]
pub struct Detections {
    /// `[n, 4]` corners in pixels of the (resized) image.
    pub boxes: Tensor,
    /// `[n]`.
    pub scores: Tensor,
    /// `[n]` class indices from 0.
    pub labels: Tensor,
    /// Mask probabilities `[n, 28, 28]` within each box, where the head makes them.
    pub masks: Option<Tensor>,
}
