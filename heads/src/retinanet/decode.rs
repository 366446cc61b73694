//! From raw outputs to detections.
//!
//! On each pyramid level the scores above a threshold, at most the best thousand, survive; their boxes are decoded and cut to the
//! image; class-wise NMS over all levels leaves the detections. Most scores are far below the threshold, so they are compared as
//! logits, and the sigmoid, the decoding and the clipping are done for survivors only.

use rayon::prelude::*;
use tch::{Device, Tensor};

use super::config::{RetinaNetConfig, EXTRA_LEVELS};
use super::head::RawOutputs;
use crate::anchors::{AnchorGenerator, AnchorSet};
use crate::box_coder::BoxCoder;
use crate::boxes::clip;
use crate::error::HeadError;
use crate::fpn::FpnConfig;
use crate::host::{f32_slice, to_cpu_f32};
use crate::label_map::LabelMap;
use crate::nms::batched_nms;
use crate::picked::{pick, Picked};
use crate::postprocess::PostprocessConfig;
use crate::stage::{take_shaped, DecodeError, Outputs};
use crate::types::HostDetections;

/// Raw outputs of any runtime to detections.
#[derive(Clone, Debug)]
pub struct RetinaNetDecoder {
    /// Anchors by image size.
    pub anchors: AnchorGenerator,
    /// Head outputs and classes.
    pub labels: LabelMap,
    /// Thresholds and limits.
    pub postprocess: PostprocessConfig,
}

impl RetinaNetDecoder {
    /// The decoder of a detector with these settings. No network is built.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn new(fpn: &FpnConfig, config: &RetinaNetConfig, classes: i64) -> Result<Self, HeadError> {
        Ok(Self {
            anchors: config.anchors.build(&fpn.levels(&config.levels, EXTRA_LEVELS))?,
            labels: LabelMap::without_background(classes, config.coco_91)?,
            postprocess: PostprocessConfig::default(),
        })
    }

    /// Detections of images of `sizes` that were padded to `padded` (height, width each).
    ///
    /// # Panics
    /// Where there are not as many sizes as images.
    pub fn decode(&self, raw: &RawOutputs<Tensor>, padded: [i64; 2], sizes: &[[i64; 2]]) -> Vec<HostDetections> {
        assert_eq!(raw.logits.size()[0], sizes.len() as i64, "one size per image");
        let found = detect(raw, &self.anchors.anchors(padded), sizes, &self.postprocess);
        found.into_iter().map(|f| self.labels.classes_of(f)).collect()
    }

    /// [`RetinaNetDecoder::decode`] from the outputs of the detector's one stage.
    ///
    /// # Errors
    /// Outputs that do not belong to the detector.
    pub fn finish(
        &self,
        mut outputs: Outputs<Tensor>,
        padded: [i64; 2],
        sizes: &[[i64; 2]],
    ) -> Result<Vec<HostDetections>, DecodeError> {
        let (n, a) = (sizes.len() as i64, self.anchors.anchors(padded).boxes.len() as i64);
        let logits = take_shaped(&mut outputs, "logits", &[n, a, self.labels.outputs()])?;
        let deltas = take_shaped(&mut outputs, "deltas", &[n, a, 4])?;
        Ok(self.decode(&RawOutputs { logits, deltas }, padded, sizes))
    }
}

/// Detections of one image from slices: logits `[A, C]`, deltas `[A, 4]`, `size` (height, width) of the image within its padding. Labels are
/// outputs of the head.
fn detect_image(
    logits: &[f32],
    deltas: &[f32],
    classes: usize,
    anchors: &AnchorSet,
    size: [i64; 2],
    config: &PostprocessConfig,
) -> HostDetections {
    let n = anchors.boxes.len();
    assert!(logits.len() == n * classes && deltas.len() == n * 4, "{n} anchors and {classes} classes do not fit the outputs");
    let threshold = logit_below(config.score_threshold);
    let mut candidates = Vec::new();
    for range in anchors.ranges() {
        let mut best: Vec<(f32, usize)> = above(&logits[range.start * classes..range.end * classes], threshold);
        let order = |a: &(f32, usize), b: &(f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if best.len() > config.pre_nms_top_k {
            best.select_nth_unstable_by(config.pre_nms_top_k, order);
            best.truncate(config.pre_nms_top_k);
        }
        best.sort_unstable_by(order);
        candidates.extend(best.into_iter().map(|(logit, index)| {
            let anchor = range.start + index / classes;
            let d = &deltas[anchor * 4..anchor * 4 + 4];
            Picked { value: logit, anchor, class: index % classes, numbers: [d[0], d[1], d[2], d[3]] }
        }));
    }
    suppress(&candidates, anchors, size, config)
}

/// Detections of a batch. On the CPU the images are searched in parallel, elsewhere the device finds the best of each level and only
/// those are fetched.
fn detect(raw: &RawOutputs<Tensor>, anchors: &AnchorSet, sizes: &[[i64; 2]], config: &PostprocessConfig) -> Vec<HostDetections> {
    if raw.logits.device() == Device::Cpu {
        let classes = raw.logits.size()[2] as usize;
        let n = anchors.boxes.len();
        let (logits, deltas) = (to_cpu_f32(&raw.logits), to_cpu_f32(&raw.deltas));
        let (logits, deltas) = (f32_slice(&logits), f32_slice(&deltas));
        let images = logits.par_chunks((n * classes).max(1)).zip(deltas.par_chunks((n * 4).max(1))).zip(sizes);
        images.map(|((logits, deltas), size)| detect_image(logits, deltas, classes, anchors, *size, config)).collect()
    } else {
        let candidates = fetch(raw, anchors, config);
        candidates.par_iter().zip(sizes).map(|(candidates, size)| suppress(candidates, anchors, *size, config)).collect()
    }
}

/// The best candidates of each level of each image, picked on the outputs' device.
fn fetch(raw: &RawOutputs<Tensor>, anchors: &AnchorSet, config: &PostprocessConfig) -> Vec<Vec<Picked>> {
    let threshold = logit_below(config.score_threshold);
    let mut images = pick(&raw.logits, &raw.deltas, anchors.ranges(), config.pre_nms_top_k);
    images.iter_mut().for_each(|image| image.retain(|p| p.value > threshold));
    images
}

fn suppress(candidates: &[Picked], anchors: &AnchorSet, size: [i64; 2], config: &PostprocessConfig) -> HostDetections {
    let threshold = config.score_threshold as f32;
    let mut all = HostDetections::default();
    for c in candidates {
        let score = 1.0 / (1.0 + (-c.value).exp());
        if score > threshold {
            all.boxes.push(clip(BoxCoder::UNIT.decode(c.numbers, anchors.boxes[c.anchor]), size));
            all.scores.push(score);
            all.labels.push(c.class as i64);
        }
    }
    all.select(&batched_nms(&all.boxes, &all.scores, &all.labels, config.nms_threshold as f32, config.max_detections))
}

/// A logit a little below that of `score`: what is not above it cannot pass, what is above it is tested exactly later.
fn logit_below(score: f64) -> f32 {
    const MARGIN: f64 = 1e-3;
    if score <= 0.0 {
        return f32::NEG_INFINITY;
    }
    ((score / (1.0 - score).max(f64::MIN_POSITIVE)).ln() - MARGIN) as f32
}

/// Values above a threshold with their indices.
fn above(values: &[f32], threshold: f32) -> Vec<(f32, usize)> {
    /// Values looked at together; nearly always none passes.
    const BLOCK: usize = 64;
    let mut found = Vec::new();
    for (b, block) in values.chunks(BLOCK).enumerate() {
        if block.iter().fold(false, |any, v| any | (*v > threshold)) {
            let hits = block.iter().enumerate().filter(|(_, v)| **v > threshold);
            found.extend(hits.map(|(i, v)| (*v, b * BLOCK + i)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use repghost_backbone::synthetic::input;

    use super::*;

    /// What other devices run (top-k on the device, only the best are fetched) against the search on the host.
    #[test]
    fn the_way_of_other_devices_finds_the_same() {
        let config = RetinaNetConfig::default();
        let mut decoder = RetinaNetDecoder::new(&FpnConfig::default(), &config, 3).unwrap();
        decoder.postprocess = PostprocessConfig { score_threshold: 0.9, pre_nms_top_k: 40, ..PostprocessConfig::default() };
        let anchors = decoder.anchors.anchors([64, 96]);
        let a = anchors.boxes.len() as i64;
        let raw = RawOutputs { logits: input("logits", &[2, a, 3]) * 4.0, deltas: input("deltas", &[2, a, 4]) };
        let sizes = [[64, 96], [50, 70]];
        let here = detect(&raw, &anchors, &sizes, &decoder.postprocess);
        let fetched = fetch(&raw, &anchors, &decoder.postprocess);
        for (i, ((here, size), there)) in here.iter().zip(sizes).zip(fetched).enumerate() {
            assert!(here.len() > 10, "only {} detections to compare", here.len());
            let there = suppress(&there, &anchors, size, &decoder.postprocess);
            assert_eq!(*here, there, "image {i}");
        }
    }
}
