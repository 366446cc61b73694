//! Letterboxing: images into inputs of a fixed size, as large as they fit with their aspect ratio, zeros at the right and at the bottom.

use repghost_coco::resize::{resize, Filter};
use repghost_coco::{Normalize, RgbImage};

/// A fixed height and width.
#[derive(Clone, Copy, Debug)]
pub struct Letterbox {
    /// Height and width of the input.
    pub size: [usize; 2],
}

impl Letterbox {
    /// Height and width of an image once it is fitted.
    pub fn inner(&self, image: &RgbImage) -> [usize; 2] {
        let (height, width) = (image.height().max(1) as f64, image.width().max(1) as f64);
        let scale = (self.size[0] as f64 / height).min(self.size[1] as f64 / width);
        [(height * scale + 0.5) as usize, (width * scale + 0.5) as usize].map(|s| s.max(1))
    }

    /// Writes an image into a slot `[3, H, W]` of zeros; returns the height and width that it takes there.
    pub fn write(&self, image: &RgbImage, slot: &mut [f32]) -> [usize; 2] {
        let [height, width] = self.inner(image);
        let fitted = resize(image, width, height, Filter::Bilinear);
        Normalize::default().write(&fitted, slot, self.size[0], self.size[1]);
        [height, width]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_decides() {
        let inner = |w, h| Letterbox { size: [320, 480] }.inner(&RgbImage::new(w, h));
        assert_eq!(inner(640, 480), [320, 427]);
        assert_eq!(inner(960, 320), [160, 480]);
        assert_eq!(inner(10000, 1), [1, 480]);
    }

    #[test]
    fn what_lies_outside_stays_zero() {
        let mut slot = vec![0.0; 3 * 4 * 4];
        let white = RgbImage::from_raw(8, 4, vec![255; 3 * 8 * 4]).unwrap();
        let size = Letterbox { size: [4, 4] }.write(&white, &mut slot);
        assert_eq!(size, [2, 4]);
        assert!(slot[..8].iter().all(|v| *v > 2.0) && slot[8..16].iter().all(|v| *v == 0.0));
    }
}
