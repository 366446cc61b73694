//! What lies between the networks of Faster and Mask R-CNN and after them: proposals, pooling, and from the second stage's outputs to detections
//! (a box for every class of every proposal, thinned by class-wise NMS; then a mask for each that is left).

use rayon::prelude::*;
use tch::{Kind, Tensor};

use super::config::{FasterRcnnConfig, MaskHeadConfig, RpnConfig, EXTRA_LEVELS};
use super::heads::BoxOutputs;
use super::proposals::{self, Proposals};
use super::rpn::RpnOutputs;
use crate::anchors::AnchorGenerator;
use crate::box_coder::{BoxCoder, Corners};
use crate::boxes::clip;
use crate::error::HeadError;
use crate::fpn::FpnConfig;
use crate::host::{f32_slice, to_cpu_f32, upload};
use crate::label_map::LabelMap;
use crate::nms::batched_nms;
use crate::postprocess::PostprocessConfig;
use crate::roi_align::MultiScaleRoiAlign;
use crate::stage::{take, take_shaped, DecodeError, Outputs, RegionShape, Regions, Stage};
use crate::types::HostDetections;

/// Sides shorter than this (pixels) make no detection.
const MIN_SIZE: f32 = 1e-2;

/// Raw outputs of any runtime to detections.
#[derive(Clone, Debug)]
pub struct RcnnDecoder {
    /// Anchors by image size.
    pub anchors: AnchorGenerator,
    /// Head outputs and classes.
    pub labels: LabelMap,
    /// Thresholds and limits. Candidates are proposals, so `pre_nms_top_k` is not read.
    pub postprocess: PostprocessConfig,
    /// Offsets of the second stage.
    pub coder: BoxCoder,
    rpn: RpnConfig,
    channels: i64,
    box_pool: MultiScaleRoiAlign,
    mask_pool: Option<MultiScaleRoiAlign>,
}

impl RcnnDecoder {
    /// The decoder of a detector with these settings; `mask_head` is Mask R-CNN's. No network is built.
    ///
    /// # Errors
    /// Settings that make no detector.
    pub fn new(
        fpn: &FpnConfig,
        config: &FasterRcnnConfig,
        mask_head: Option<&MaskHeadConfig>,
        classes: i64,
    ) -> Result<Self, HeadError> {
        let pool = |bins| MultiScaleRoiAlign::new(&config.pooled_levels(), bins, config.roi.sampling_ratio);
        Ok(Self {
            anchors: config.rpn.anchors().build(&fpn.levels(&config.levels, EXTRA_LEVELS))?,
            labels: LabelMap::with_background(classes, config.coco_91)?,
            postprocess: PostprocessConfig::default(),
            coder: BoxCoder { weights: config.roi.bbox_reg_weights },
            rpn: config.rpn.clone(),
            channels: fpn.channels,
            box_pool: pool(config.box_head.pool),
            mask_pool: mask_head.map(|mask| pool(mask.pool)),
        })
    }

    /// The networks, in the order in which they run.
    pub fn stages(&self) -> Vec<Stage> {
        let shape = |pool: &MultiScaleRoiAlign, per_image: usize| RegionShape {
            channels: self.channels,
            side: pool.sampling.output as i64,
            per_image: per_image as i64,
        };
        let masks = self.mask_pool.as_ref().map(|pool| Stage::Masks(shape(pool, self.postprocess.max_detections)));
        let boxes = Stage::Boxes(shape(&self.box_pool, self.rpn.post_nms_top_n_test));
        [Stage::Image, boxes].into_iter().chain(masks).collect()
    }

    /// Proposals of images of `sizes` that were padded to `padded` (height, width each).
    pub fn propose(&self, rpn: &RpnOutputs<Tensor>, padded: [i64; 2], sizes: &[[i64; 2]], train: bool) -> Vec<Proposals> {
        proposals::propose(rpn, &self.anchors.anchors(padded), sizes, &self.rpn, train)
    }

    /// Regions to what the box head reads, `[K, C, pool, pool]` (7 by default), image by image.
    pub fn pool_boxes(&self, pyramid: &[Tensor], boxes: &[Vec<Corners>]) -> Tensor {
        pool(&self.box_pool, pyramid, boxes)
    }

    /// Regions to what the mask head reads, `[K, C, pool, pool]` (14 by default), image by image; none without a mask branch.
    pub fn pool_masks(&self, pyramid: &[Tensor], boxes: &[Vec<Corners>]) -> Option<Tensor> {
        self.mask_pool.as_ref().map(|masks| pool(masks, pyramid, boxes))
    }

    /// Height and width of predicted masks: twice what regions are pooled to. 0 without a mask branch.
    pub(super) fn mask_side(&self) -> usize {
        self.mask_pool.as_ref().map_or(0, |pool| 2 * pool.sampling.output)
    }

    /// Detections of images of `sizes` that were padded to `padded` (height, width each), from the first stage's outputs. `run` runs the other
    /// stages; it is not called where there are no regions.
    ///
    /// # Errors
    /// Those of `run`; outputs that do not belong to the detector.
    pub fn finish<E: From<DecodeError>>(
        &self,
        mut first: Outputs<Tensor>,
        padded: [i64; 2],
        sizes: &[[i64; 2]],
        mut run: impl FnMut(&Stage, &Regions) -> Result<Outputs<Tensor>, E>,
    ) -> Result<Vec<HostDetections>, E> {
        let (n, a) = (sizes.len() as i64, self.anchors.anchors(padded).boxes.len() as i64);
        let logits = take_shaped(&mut first, "objectness", &[n, a, 1])?;
        let deltas = take_shaped(&mut first, "deltas", &[n, a, 4])?;
        let levels = self.box_pool.levels.iter();
        let pyramid: Vec<Tensor> = levels.map(|l| take(&mut first, &format!("P{l}"))).collect::<Result<_, _>>()?;
        let proposals = self.propose(&RpnOutputs { logits, deltas }, padded, sizes, false);
        let boxes: Vec<Vec<Corners>> = proposals.into_iter().map(|p| p.boxes).collect();

        let mut found = vec![HostDetections::default(); sizes.len()];
        for stage in self.stages() {
            match stage {
                Stage::Image => {}
                Stage::Boxes(_) => {
                    let rows = boxes.iter().map(Vec::len).sum::<usize>() as i64;
                    if rows == 0 {
                        continue;
                    }
                    let regions = Regions { pooled: self.pool_boxes(&pyramid, &boxes), outputs: vec![] };
                    let mut raw = run(&stage, &regions)?;
                    let outputs = self.labels.outputs();
                    let logits = take_shaped(&mut raw, "logits", &[rows, outputs])?;
                    let deltas = take_shaped(&mut raw, "deltas", &[rows, outputs * 4])?;
                    found = self.find_boxes(&BoxOutputs { logits, deltas }, &boxes, sizes);
                }
                Stage::Masks(_) => self.find_masks(&stage, &pyramid, &mut found, &mut run)?,
            }
        }
        Ok(found)
    }

    /// Boxes of a batch from the box head's outputs, whose rows are the images' proposals one after another.
    fn find_boxes(&self, raw: &BoxOutputs<Tensor>, proposals: &[Vec<Corners>], sizes: &[[i64; 2]]) -> Vec<HostDetections> {
        let outputs = self.labels.outputs() as usize;
        let (scores, deltas) = (to_cpu_f32(&raw.logits.softmax(-1, Kind::Float)), to_cpu_f32(&raw.deltas));
        let (scores, deltas) = (f32_slice(&scores), f32_slice(&deltas));
        let limits = &self.postprocess;
        let (score_threshold, iou) = (limits.score_threshold as f32, limits.nms_threshold as f32);
        let starts: Vec<usize> = proposals.iter().scan(0, |end, p| Some(std::mem::replace(end, *end + p.len()))).collect();
        let images = proposals.par_iter().zip(&starts).zip(sizes);
        images
            .map(|((proposals, start), size)| {
                let mut all = HostDetections::default();
                for (i, proposal) in proposals.iter().enumerate() {
                    let row = (start + i) * outputs;
                    let candidates = scores[row..row + outputs].iter().enumerate().skip(1);
                    for (output, score) in candidates.filter(|(_, s)| **s > score_threshold) {
                        let d = &deltas[(row + output) * 4..(row + output + 1) * 4];
                        let moved = clip(self.coder.decode([d[0], d[1], d[2], d[3]], *proposal), *size);
                        if moved[2] - moved[0] >= MIN_SIZE && moved[3] - moved[1] >= MIN_SIZE {
                            all.boxes.push(moved);
                            all.scores.push(*score);
                            all.labels.push(output as i64);
                        }
                    }
                }
                let keep = batched_nms(&all.boxes, &all.scores, &all.labels, iou, limits.max_detections);
                self.labels.classes_of(all.select(&keep))
            })
            .collect()
    }

    /// Gives each detection its mask.
    fn find_masks<E: From<DecodeError>>(
        &self,
        stage: &Stage,
        pyramid: &[Tensor],
        found: &mut [HostDetections],
        run: &mut impl FnMut(&Stage, &Regions) -> Result<Outputs<Tensor>, E>,
    ) -> Result<(), E> {
        let boxes: Vec<Vec<Corners>> = found.iter().map(|f| f.boxes.clone()).collect();
        let outputs: Vec<i64> = found.iter().flat_map(|f| f.labels.iter().map(|class| self.labels.output(*class))).collect();
        let Some(pooled) = self.pool_masks(pyramid, &boxes).filter(|_| !outputs.is_empty()) else {
            found.iter_mut().for_each(|f| f.masks = Some(vec![]));
            return Ok(());
        };
        let regions = Regions { pooled, outputs };
        let logits = take(&mut run(stage, &regions)?, "masks")?;
        let (rows, side) = (regions.outputs.len() as i64, self.mask_side() as i64);
        let logits = match logits.size() {
            size if size == [rows, side, side] => logits,
            size if size == [rows, self.labels.outputs(), side, side] => {
                let device = logits.device();
                let row = Tensor::arange(rows, (Kind::Int64, device));
                logits.index(&[Some(row), Some(upload(&Tensor::from_slice(&regions.outputs), device))])
            }
            found => return Err(DecodeError::Shape { name: "masks".into(), found, expected: vec![rows, side, side] }.into()),
        };
        let masks = to_cpu_f32(&logits.sigmoid());
        let mut masks = f32_slice(&masks).chunks_exact((side * side) as usize);
        for f in found {
            f.masks = Some(masks.by_ref().take(f.len()).flatten().copied().collect());
        }
        Ok(())
    }
}

fn pool(pool: &MultiScaleRoiAlign, pyramid: &[Tensor], boxes: &[Vec<Corners>]) -> Tensor {
    let maps: Vec<&Tensor> = pyramid.iter().take(pool.levels.len()).collect();
    pool.pool(&maps, boxes)
}
