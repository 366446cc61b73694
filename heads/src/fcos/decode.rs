//! From raw outputs to detections.
//!
//! The score of a class at a point is the geometric mean of its probability and the centerness. On each pyramid level the scores above a threshold,
//! at most the best thousand, survive; their boxes are decoded and cut to the image; class-wise NMS over all levels leaves the detections.
//!
//! A score above the threshold needs a centerness above its square, which few points have: the classes of all others are never looked at.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use super::config::{FcosConfig, EXTRA_LEVELS};
use super::distances::decode;
use super::head::FcosOutputs;
use crate::anchors::{AnchorGenerator, AnchorSet};
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
pub struct FcosDecoder {
    /// Points by image size, each as a square one stride wide.
    pub anchors: AnchorGenerator,
    /// Head outputs and classes.
    pub labels: LabelMap,
    /// Thresholds and limits.
    pub postprocess: PostprocessConfig,
}

impl FcosDecoder {
    /// The decoder of a detector with these settings. No network is built.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn new(fpn: &FpnConfig, config: &FcosConfig, classes: i64) -> Result<Self, HeadError> {
        Ok(Self {
            anchors: config.points().build(&fpn.levels(&config.levels, EXTRA_LEVELS))?,
            labels: LabelMap::without_background(classes, config.coco_91)?,
            postprocess: PostprocessConfig::default(),
        })
    }

    /// Detections of images of `sizes` that were padded to `padded` (height, width each).
    ///
    /// # Panics
    /// Where there are not as many sizes as images.
    pub fn decode(&self, raw: &FcosOutputs<Tensor>, padded: [i64; 2], sizes: &[[i64; 2]]) -> Vec<HostDetections> {
        assert_eq!(raw.logits.size()[0], sizes.len() as i64, "one size per image");
        let points = self.anchors.anchors(padded);
        let candidates = if raw.logits.device() == Device::Cpu { search(raw, &points, self) } else { fetch(raw, &points, self) };
        let images = candidates.into_par_iter().zip(sizes);
        images
            .map(|(candidates, size)| self.labels.classes_of(suppress(&candidates, &points, *size, &self.postprocess)))
            .collect()
    }

    /// [`FcosDecoder::decode`] from the outputs of the detector's one stage.
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
        let distances = take_shaped(&mut outputs, "distances", &[n, a, 4])?;
        let centerness = take_shaped(&mut outputs, "centerness", &[n, a, 1])?;
        Ok(self.decode(&FcosOutputs { logits, distances, centerness }, padded, sizes))
    }
}

/// The best candidates of each image, level by level, on the host.
fn search(raw: &FcosOutputs<Tensor>, points: &AnchorSet, decoder: &FcosDecoder) -> Vec<Vec<Picked>> {
    let (n, classes) = (points.boxes.len(), decoder.labels.outputs() as usize);
    let [logits, distances, centerness] = [&raw.logits, &raw.distances, &raw.centerness].map(to_cpu_f32);
    let [logits, distances, centerness] = [&logits, &distances, &centerness].map(f32_slice);
    let images = logits.par_chunks(n * classes).zip(distances.par_chunks(n * 4)).zip(centerness.par_chunks(n));
    images
        .map(|((logits, distances), centerness)| {
            let level = |range: std::ops::Range<usize>| {
                let mut found = Vec::new();
                for point in range {
                    let above = above(&logits[point * classes..(point + 1) * classes], centerness[point], &decoder.postprocess);
                    let d = &distances[point * 4..point * 4 + 4];
                    found.extend(above.map(|(class, value)| Picked {
                        value,
                        anchor: point,
                        class,
                        numbers: [d[0], d[1], d[2], d[3]],
                    }));
                }
                best(found, decoder.postprocess.pre_nms_top_k)
            };
            points.ranges().flat_map(level).collect()
        })
        .collect()
}

/// Classes of a point whose score is above the threshold.
fn above<'a>(logits: &'a [f32], centerness: f32, config: &PostprocessConfig) -> impl Iterator<Item = (usize, f32)> + 'a {
    let (threshold, centerness) = (config.score_threshold as f32, sigmoid(centerness));
    // The probability of a class is below 1.
    let logits = if centerness.sqrt() > threshold { logits } else { &[] };
    logits.iter().map(move |x| (sigmoid(*x) * centerness).sqrt()).enumerate().filter(move |(_, score)| *score > threshold)
}

/// The `k` best, best first; of equals the first.
fn best(mut candidates: Vec<Picked>, k: usize) -> Vec<Picked> {
    let order = |a: &Picked, b: &Picked| b.value.total_cmp(&a.value).then((a.anchor, a.class).cmp(&(b.anchor, b.class)));
    if k < candidates.len() {
        candidates.select_nth_unstable_by(k, order);
        candidates.truncate(k);
    }
    candidates.sort_unstable_by(order);
    candidates
}

/// The best candidates of each image, level by level, picked on the outputs' device: only those are copied to the host.
fn fetch(raw: &FcosOutputs<Tensor>, points: &AnchorSet, decoder: &FcosDecoder) -> Vec<Vec<Picked>> {
    let config = &decoder.postprocess;
    let threshold = config.score_threshold as f32;
    let scores = (raw.logits.to_kind(Kind::Float).sigmoid() * raw.centerness.to_kind(Kind::Float).sigmoid()).sqrt();
    let mut images = pick(&scores, &raw.distances, points.ranges(), config.pre_nms_top_k);
    images.iter_mut().for_each(|image| image.retain(|p| p.value > threshold));
    images
}

fn suppress(candidates: &[Picked], points: &AnchorSet, size: [i64; 2], config: &PostprocessConfig) -> HostDetections {
    let all = HostDetections {
        boxes: candidates.iter().map(|c| clip(decode(c.numbers, points.boxes[c.anchor]), size)).collect(),
        scores: candidates.iter().map(|c| c.value).collect(),
        labels: candidates.iter().map(|c| c.class as i64).collect(),
        masks: None,
    };
    all.select(&batched_nms(&all.boxes, &all.scores, &all.labels, config.nms_threshold as f32, config.max_detections))
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use repghost_backbone::synthetic::input;

    use super::*;

    /// What other devices run against the search on the host: the same candidates, with scores that differ by rounding.
    #[test]
    fn the_way_of_other_devices_finds_the_same() {
        let mut decoder = FcosDecoder::new(&FpnConfig::default(), &FcosConfig::default(), 3).unwrap();
        decoder.postprocess = PostprocessConfig { score_threshold: 0.7, pre_nms_top_k: 40, ..PostprocessConfig::default() };
        let points = decoder.anchors.anchors([160, 224]);
        let a = points.boxes.len() as i64;
        let raw = FcosOutputs {
            logits: input("logits", &[2, a, 3]) * 4.0,
            distances: input("distances", &[2, a, 4]).abs() * 4.0,
            centerness: input("centerness", &[2, a, 1]) * 4.0,
        };
        for (here, there) in search(&raw, &points, &decoder).into_iter().zip(fetch(&raw, &points, &decoder)) {
            assert!(here.len() > 40, "only {} candidates to compare", here.len());
            assert_eq!(here.len(), there.len());
            let sorted = |mut all: Vec<Picked>| {
                all.sort_by_key(|c| (c.anchor, c.class));
                all
            };
            for (a, b) in sorted(here).iter().zip(sorted(there)) {
                assert_eq!((a.anchor, a.class, a.numbers), (b.anchor, b.class, b.numbers));
                assert!((a.value - b.value).abs() < 1e-6, "{a:?} {b:?}");
            }
        }
    }
}
