//! What goes into a detector and what comes out.
//!
//! Pixels and losses are tensors, on the network's device. Targets and detections are plain data in main memory: what works with them (matching,
//! sampling, suppression) runs there, so nothing crosses to a device only to come back.

use tch::{Kind, TchError, Tensor};

use crate::box_coder::Corners;

/// Images of different sizes, padded with zeros to one size.
#[derive(Debug)]
pub struct ImageBatch {
    /// Normalised pixels `[N, 3, H, W]`.
    pub pixels: Tensor,
    /// True height and width of each image within the padding.
    pub sizes: Vec<[i64; 2]>,
}

impl ImageBatch {
    /// Height and width including the padding.
    pub fn padded_size(&self) -> [i64; 2] {
        let size = self.pixels.size();
        [size[2], size[3]]
    }
}

/// A binary mask within a box: pixels outside it are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CroppedMask {
    /// Left and top pixel of the crop in the (resized) image.
    pub origin: [i64; 2],
    /// Height and width of the crop in pixels.
    pub size: [usize; 2],
    /// Zeros and ones, row by row.
    pub bits: Vec<u8>,
}

/// The ground truth of one image: any number of objects, none included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Corners x1, y1, x2, y2 in pixels of the (resized) image, one box per object.
    pub boxes: Vec<Corners>,
    /// Class indices from 0, without a background, one per object.
    pub labels: Vec<i64>,
    /// One mask per object, where masks are trained.
    pub masks: Option<Vec<CroppedMask>>,
}

impl Target {
    /// Objects without masks.
    pub fn new(boxes: &[Corners], labels: &[i64]) -> Self {
        Self { boxes: boxes.to_vec(), labels: labels.to_vec(), masks: None }
    }

    /// An image without objects.
    pub fn empty() -> Self {
        Self::default()
    }
}

/// Named scalar losses of a batch. Their sum is what is differentiated. Each is a mean: over the batch's images, or over samples (anchors,
/// regions, points) of all of them.
#[derive(Debug, Default)]
pub struct Losses {
    values: Vec<(&'static str, Tensor)>,
    /// Of each loss, how many samples it is a mean over; `None` where it is over images.
    samples: Vec<Option<usize>>,
}

impl Losses {
    /// The sum, added up in order; zero where there are no losses.
    ///
    /// # Errors
    /// Losses on different devices.
    pub fn f_total(&self) -> Result<Tensor, TchError> {
        let mut parts = self.iter();
        let Some((_, first)) = parts.next() else { return Ok(Tensor::zeros([], (Kind::Float, tch::Device::Cpu))) };
        parts.try_fold(first.shallow_clone(), |sum, (_, loss)| sum.f_add(loss))
    }

    /// [`Losses::f_total`], as tch's methods without `f_`.
    ///
    /// # Panics
    /// Where [`Losses::f_total`] returns an error.
    pub fn total(&self) -> Tensor {
        self.f_total().unwrap_or_else(|e| panic!("losses cannot be added: {e}"))
    }

    /// The same losses as means over so many samples, in order; 1 is what was divided by where there were none.
    ///
    /// # Panics
    /// Where there are not as many numbers as losses.
    pub fn over_samples(mut self, samples: &[usize]) -> Self {
        assert_eq!(samples.len(), self.values.len(), "one number per loss");
        self.samples = samples.iter().map(|n| Some(*n)).collect();
        self
    }

    /// Of each loss, how many samples it is a mean over; `None` where it is over images.
    pub fn samples(&self) -> &[Option<usize>] {
        &self.samples
    }

    /// Each loss times its factor, in order.
    ///
    /// # Errors
    /// When libtorch fails.
    ///
    /// # Panics
    /// Where there are not as many factors as losses.
    pub fn weighted(self, factors: &[f64]) -> Result<Self, TchError> {
        assert_eq!(factors.len(), self.values.len(), "one factor per loss");
        let values = self.values.into_iter().zip(factors).map(|((name, loss), factor)| Ok((name, loss.f_mul_scalar(*factor)?)));
        Ok(Self { values: values.collect::<Result<_, TchError>>()?, samples: self.samples })
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        self.values.iter().map(|(name, loss)| (*name, loss))
    }

    /// A loss by name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.iter().find(|(n, _)| *n == name).map(|(_, loss)| loss)
    }

    /// Number of losses.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl<const N: usize> From<[(&'static str, Tensor); N]> for Losses {
    fn from(losses: [(&'static str, Tensor); N]) -> Self {
        Vec::from(losses).into()
    }
}

impl From<Vec<(&'static str, Tensor)>> for Losses {
    fn from(losses: Vec<(&'static str, Tensor)>) -> Self {
        Self { samples: vec![None; losses.len()], values: losses }
    }
}

/// The objects that were found in one image, best first, whichever runtime computed the networks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostDetections {
    /// Corners x1, y1, x2, y2 in pixels of the (resized) image.
    pub boxes: Vec<Corners>,
    /// Scores between 0 and 1.
    pub scores: Vec<f32>,
    /// Class indices from 0, without a background.
    pub labels: Vec<i64>,
    /// Mask probabilities `[n, side, side]` within each box, where the detector has a mask branch.
    pub masks: Option<Vec<f32>>,
}

impl HostDetections {
    /// Number of objects.
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// True where nothing was found.
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Those at positions `keep`, in that order, without masks.
    pub(crate) fn select(&self, keep: &[usize]) -> Self {
        Self {
            boxes: keep.iter().map(|&i| self.boxes[i]).collect(),
            scores: keep.iter().map(|&i| self.scores[i]).collect(),
            labels: keep.iter().map(|&i| self.labels[i]).collect(),
            masks: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_is_the_sum_with_its_gradient() {
        let x = Tensor::from_slice(&[3f32]).set_requires_grad(true);
        let losses = Losses::from([("square", (&x * &x).sum(Kind::Float)), ("double", (&x * 2.0).sum(Kind::Float))]);
        assert_eq!((losses.len(), losses.total().double_value(&[])), (2, 15.0));
        assert_eq!(losses.get("double").unwrap().double_value(&[]), 6.0);
        assert!(losses.get("triple").is_none());
        losses.total().backward();
        assert_eq!(x.grad().double_value(&[0]), 8.0);
        assert_eq!(Losses::default().total().double_value(&[]), 0.0);
    }
}
