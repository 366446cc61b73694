//! The networks that a detector consists of.
//!
//! A detector is one or more networks with plain code between them. RetinaNet is one: image to class logits and box offsets. Mask R-CNN is three:
//! image to feature maps and proposals, then pooled regions to classes and boxes, then pooled regions to masks. Each network is a [`Stage`]; its
//! forward is generic over [`Ops`](repghost_backbone::Ops), so that code which runs, writes or counts networks is a loop over stages, whichever the
//! detector. What lies between the stages is the [`Decoder`](crate::Decoder)'s.

use tch::Tensor;

/// One network of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Images `[N, 3, H, W]` to whatever the head gives for them. Every detector starts with it.
    Image,
    /// Pooled regions to classes and boxes.
    Boxes(RegionShape),
    /// Pooled regions to masks.
    Masks(RegionShape),
}

/// Input of a stage that reads pooled regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionShape {
    /// Channels of the feature maps.
    pub channels: i64,
    /// Height and width that regions are pooled to.
    pub side: i64,
    /// Regions per image in inference, at most.
    pub per_image: i64,
}

impl RegionShape {
    /// `[n, channels, side, side]`.
    pub fn of(&self, n: i64) -> [i64; 4] {
        [n, self.channels, self.side, self.side]
    }
}

impl Stage {
    /// Put between the stem of an exported file's name and its extension: empty for the first stage.
    pub fn suffix(&self) -> &'static str {
        match self {
            Self::Image => "",
            Self::Boxes(_) => ".boxes",
            Self::Masks(_) => ".masks",
        }
    }

    /// The input of a stage that reads pooled regions; none for the one that reads images.
    pub fn regions(&self) -> Option<RegionShape> {
        match self {
            Self::Image => None,
            Self::Boxes(regions) | Self::Masks(regions) => Some(*regions),
        }
    }
}

/// Named outputs of a stage, in the order of an exported file's.
pub type Outputs<V> = Vec<(String, V)>;

/// Regions on their way into a stage.
#[derive(Debug)]
pub struct Regions {
    /// Features `[R, channels, side, side]`, image by image.
    pub pooled: Tensor,
    /// For masks: the head's output that is wanted of each region. A runner may compute these alone and return `[R, side, side]`, or all
    /// outputs `[R, outputs, side, side]`.
    pub outputs: Vec<i64>,
}

/// Outputs that do not belong to the detector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An output is missing.
    #[error("output '{0}' is missing")]
    Missing(String),
    /// An output has a shape that the detector's anchors, classes or regions do not give.
    #[error("output '{name}' has shape {found:?}, expected {expected:?}: is it another experiment's file?")]
    Shape {
        /// Name of the output.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape that belongs to the detector.
        expected: Vec<i64>,
    },
}

/// Takes an output out of a list.
pub(crate) fn take(outputs: &mut Outputs<Tensor>, name: &str) -> Result<Tensor, DecodeError> {
    let at = outputs.iter().position(|(n, _)| n == name).ok_or_else(|| DecodeError::Missing(name.into()))?;
    Ok(outputs.swap_remove(at).1)
}

/// Takes an output that must have a shape.
pub(crate) fn take_shaped(outputs: &mut Outputs<Tensor>, name: &str, expected: &[i64]) -> Result<Tensor, DecodeError> {
    let t = take(outputs, name)?;
    match t.size() == expected {
        true => Ok(t),
        false => Err(DecodeError::Shape { name: name.into(), found: t.size(), expected: expected.to_vec() }),
    }
}
