//! Regions of interest.

/// A region of interest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roi {
    /// Which of `maps` it is taken from.
    pub level: usize,
    /// Index in the batch.
    pub image: usize,
    /// Corners x1, y1, x2, y2 in image pixels.
    pub bbox: [f32; 4],
}
