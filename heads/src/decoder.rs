//! The host part of a detector: everything between and after its networks.
//!
//! It holds anchors, box coder, label map, pooling and thresholds, but no tensor, so that threads share it and nobody builds a network to get at
//! anchors. The networks may run anywhere: in libtorch ([`Detector::detect`](crate::Detector::detect)), or as exported files in another runtime.

use std::sync::Arc;

use tch::Tensor;

use crate::anchors::{AnchorGenerator, AnchorSet};
use crate::fcos::FcosDecoder;
use crate::label_map::LabelMap;
use crate::postprocess::PostprocessConfig;
use crate::rcnn::RcnnDecoder;
use crate::retinanet::RetinaNetDecoder;
use crate::stage::{DecodeError, Outputs, Regions, Stage};
use crate::types::HostDetections;

/// Raw outputs to detections, for every detector.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a program holds a handful, and clones share what is large")]
pub enum Decoder {
    /// Of RetinaNet.
    RetinaNet(RetinaNetDecoder),
    /// Of FCOS.
    Fcos(FcosDecoder),
    /// Of Faster and Mask R-CNN.
    Rcnn(RcnnDecoder),
}

impl Decoder {
    /// The networks, in the order in which they run.
    pub fn stages(&self) -> Vec<Stage> {
        match self {
            Self::RetinaNet(_) | Self::Fcos(_) => vec![Stage::Image],
            Self::Rcnn(d) => d.stages(),
        }
    }

    /// Detections of images of `sizes` that were padded to `padded` (height, width each), from the outputs of [`Stage::Image`]. `run` runs the
    /// stages that read regions, where the detector has them and there are regions.
    ///
    /// # Errors
    /// Those of `run`; outputs that do not belong to the detector.
    pub fn finish<E: From<DecodeError>>(
        &self,
        first: Outputs<Tensor>,
        padded: [i64; 2],
        sizes: &[[i64; 2]],
        run: impl FnMut(&Stage, &Regions) -> Result<Outputs<Tensor>, E>,
    ) -> Result<Vec<HostDetections>, E> {
        let _guard = tch::no_grad_guard();
        match self {
            Self::RetinaNet(d) => Ok(d.finish(first, padded, sizes)?),
            Self::Fcos(d) => Ok(d.finish(first, padded, sizes)?),
            Self::Rcnn(d) => d.finish(first, padded, sizes, run),
        }
    }

    /// The anchors of a padded image of `size` (height, width).
    pub fn anchors(&self, size: [i64; 2]) -> Arc<AnchorSet> {
        self.fields().0.anchors(size)
    }

    /// Outputs of the head and classes.
    pub fn labels(&self) -> &LabelMap {
        self.fields().1
    }

    /// Thresholds and limits.
    pub fn postprocess(&self) -> &PostprocessConfig {
        self.fields().2
    }

    /// This decoder with other thresholds and limits.
    #[must_use]
    pub fn with_postprocess(mut self, config: PostprocessConfig) -> Self {
        match &mut self {
            Self::RetinaNet(d) => d.postprocess = config,
            Self::Fcos(d) => d.postprocess = config,
            Self::Rcnn(d) => d.postprocess = config,
        }
        self
    }

    fn fields(&self) -> (&AnchorGenerator, &LabelMap, &PostprocessConfig) {
        match self {
            Self::Fcos(d) => (&d.anchors, &d.labels, &d.postprocess),
            Self::RetinaNet(d) => (&d.anchors, &d.labels, &d.postprocess),
            Self::Rcnn(d) => (&d.anchors, &d.labels, &d.postprocess),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FpnConfig, HeadConfig};

    /// Threads share a decoder, and it is built without a network.
    #[test]
    fn decoders_are_shared_and_hold_no_tensor() {
        fn shared<T: Send + Sync + Clone>(t: T) -> T {
            t
        }
        let decoder = shared(HeadConfig::default().decoder(&FpnConfig::default(), 3).unwrap());
        let anchors = decoder.anchors([320, 320]);
        assert_eq!(anchors.per_level, [40 * 40 * 9, 20 * 20 * 9, 10 * 10 * 9, 5 * 5 * 9, 3 * 3 * 9]);
        assert_eq!((decoder.stages(), decoder.labels().classes()), (vec![Stage::Image], 3));
    }

    /// Outputs of another detector's file are an error, not a panic.
    #[test]
    fn foreign_outputs_are_refused() {
        let decoder = HeadConfig::default().decoder(&FpnConfig::default(), 3).unwrap();
        let finish = |outputs| {
            let none = |_: &Stage, _: &Regions| -> Result<_, DecodeError> { unreachable!("RetinaNet reads no regions") };
            decoder.finish(outputs, [64, 64], &[[64, 64]], none).unwrap_err().to_string()
        };
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (tch::Kind::Float, tch::Device::Cpu));
        assert_eq!(finish(vec![]), "output 'logits' is missing");
        let message = finish(vec![("logits".into(), zeros(&[1, 7, 3])), ("deltas".into(), zeros(&[1, 7, 4]))]);
        // 64 pixels: grids 8, 4, 2, 1 and 1 with 86 cells.
        assert!(message.starts_with("output 'logits' has shape [1, 7, 3], expected [1, 774, 3]"), "{message}");
    }
}
