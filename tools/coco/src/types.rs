//! What the data floor hands to the trainer.

use crate::pixels::Pixels;

/// Corners x1, y1, x2, y2 in pixels.
pub type BoxXyxy = [f32; 4];

/// A binary mask cropped to its box: what lies outside is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceMask {
    /// Left and top pixel of the crop.
    pub origin: [i32; 2],
    /// Height and width of the crop.
    pub size: [usize; 2],
    /// Zeros and ones, row by row.
    pub bits: Vec<u8>,
}

/// The objects of one sample, after augmentation.
#[derive(Clone, Debug, Default)]
pub struct SampleTarget {
    /// The image's id in the annotation file.
    pub image_id: i64,
    /// The image's file name in the annotation file.
    pub file_name: String,
    /// Height and width of the file's image.
    pub original_size: [usize; 2],
    /// Boxes in pixels of the augmented image.
    pub boxes: Vec<BoxXyxy>,
    /// Class indices from 0 (see the dataset's class list), one a box.
    pub labels: Vec<i64>,
    /// Masks, one a box, where masks are wanted.
    pub masks: Option<Vec<InstanceMask>>,
}

/// Samples in one padded buffer.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Number of this batch within its epoch.
    pub index: usize,
    /// The images, padded at the right and at the bottom.
    pub pixels: Pixels,
    /// N, 3, H, W.
    pub shape: [usize; 4],
    /// True height and width of each image.
    pub sizes: Vec<[usize; 2]>,
    /// One an image.
    pub targets: Vec<SampleTarget>,
    /// The images stand in for a share without any: they are another process's too and must not count.
    pub placeholder: bool,
}

impl Batch {
    /// Dimensions of [`Batch::pixels`] as they lie in memory: N, 3, H, W, or N, H, W, 3 for bytes.
    pub fn layout(&self) -> [usize; 4] {
        let [n, channels, height, width] = self.shape;
        match self.pixels {
            Pixels::Normalized(_) => self.shape,
            Pixels::Bytes { .. } => [n, height, width, channels],
        }
    }
}
