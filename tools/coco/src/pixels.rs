//! The pixels of a batch.

use image::RgbImage;

use crate::resize::Normalize;

/// The pixels of a batch of N images, each in the top left of H x W.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Normalised, `[N, 3, H, W]`, zero beside the images.
    Normalized(Vec<f32>),
    /// As they were decoded, `[N, H, W, 3]`. Whoever takes them normalises them and sets what lies beside the images to zero.
    Bytes {
        /// The bytes.
        values: Vec<u8>,
        /// How they are normalised.
        normalize: Normalize,
    },
}

impl Pixels {
    /// Number of values: N x 3 x H x W.
    pub fn len(&self) -> usize {
        match self {
            Self::Normalized(values) => values.len(),
            Self::Bytes { values, .. } => values.len(),
        }
    }

    /// Whether there are none, as after [`Pixels::take`].
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The normalised values; `None` where there are bytes.
    pub fn normalized(&self) -> Option<&[f32]> {
        match self {
            Self::Normalized(values) => Some(values),
            Self::Bytes { .. } => None,
        }
    }

    /// The pixels; of the same kind without values is what stays.
    pub fn take(&mut self) -> Self {
        let empty = match self {
            Self::Normalized(_) => Self::Normalized(vec![]),
            Self::Bytes { normalize, .. } => Self::Bytes { values: vec![], normalize: *normalize },
        };
        std::mem::replace(self, empty)
    }

    /// Those of some images, `length` (3 x H x W) values each, in the order of `images`.
    pub fn of(&self, images: impl Iterator<Item = usize>, length: usize) -> Self {
        fn chosen<T: Copy>(values: &[T], images: impl Iterator<Item = usize>, length: usize) -> Vec<T> {
            images.flat_map(|i| values[i * length..(i + 1) * length].iter().copied()).collect()
        }
        match self {
            Self::Normalized(values) => Self::Normalized(chosen(values, images, length)),
            Self::Bytes { values, normalize } => Self::Bytes { values: chosen(values, images, length), normalize: *normalize },
        }
    }
}

/// Copies an image into the top left of a `[height, plane_width, 3]` slot.
pub(crate) fn copy(image: &RgbImage, slot: &mut [u8], plane_width: usize) {
    let row = 3 * image.width() as usize;
    let rows = image.as_raw().chunks_exact(row.max(1));
    slot.chunks_exact_mut(3 * plane_width.max(1)).zip(rows).for_each(|(to, from)| to[..row].copy_from_slice(from));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_lie_in_the_top_left_and_images_are_chosen_whole() {
        let image = RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let mut values = vec![0; 2 * 2 * 3 * 3];
        values.chunks_exact_mut(18).for_each(|slot| copy(&image, slot, 3));
        let one = [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(values, [one, one].concat());
        values[18] = 9;
        let mut pixels = Pixels::Bytes { values, normalize: Normalize::UNIT };
        let Pixels::Bytes { values, .. } = pixels.of([1, 0].into_iter(), 18) else { unreachable!() };
        assert_eq!((values[0], values[18]), (9, 1));
        assert_eq!(pixels.take().len(), 36);
        assert!(pixels.is_empty() && pixels.normalized().is_none());
    }
}
