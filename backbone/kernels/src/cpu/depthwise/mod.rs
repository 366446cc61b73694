//! Depthwise convolutions, 3x3 and 5x5, stride 1 and 2: one filter per channel, bound by memory.
//!
//! Planes (an image's channel each) are handled eight at a time, one per lane: rows are turned into vectors of eight planes as they are read,
//! and back as they are written. So there are no ragged row ends, any width is as fast as any other, and filters are plain vectors.

mod backward;
mod forward;
mod rows;

pub(crate) use backward::backward;
pub(crate) use forward::forward;

/// Geometry of a depthwise convolution with padding `kernel / 2`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub images: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
}

impl Geometry {
    /// Height and width of the output.
    pub fn output(&self) -> [usize; 2] {
        [self.height, self.width].map(|side| (side - 1) / self.stride + 1)
    }

    /// Multiply-adds, and one more per value for reading and writing it.
    pub fn work(&self) -> usize {
        let [height, width] = self.output();
        self.planes() * height * width * (self.kernel * self.kernel + self.stride * self.stride + 1)
    }

    pub fn planes(&self) -> usize {
        self.images * self.channels
    }
}
