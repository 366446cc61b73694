//! What each stage should have said: anchors and proposals against the objects.

use crate::anchors::AnchorSet;
use crate::box_coder::{BoxCoder, Corners};
use crate::classes::{ClassLayout, BACKGROUND};
use crate::matcher::{Match, Matcher};

use super::sampler::{Balance, Choice, Stage};

/// Plain data of one image's objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub boxes: Vec<Corners>,
    /// Output indices, background excluded.
    pub outputs: Vec<i64>,
}

impl Objects {
    /// # Panics
    /// When there is not one label a box, or a label is no class.
    pub fn new(target: &crate::types::Target, layout: &ClassLayout) -> Self {
        let labels =
            Vec::<i64>::try_from(target.labels.to_device(tch::Device::Cpu).reshape([-1])).expect("labels are whole numbers");
        let boxes = crate::boxes::to_corners(&target.boxes);
        assert_eq!(boxes.len(), labels.len(), "one label a box");
        Self { boxes, outputs: labels.into_iter().map(|l| layout.output(l)).collect() }
    }
}

/// Anchors of one image that take part in the first stage's loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AnchorSamples {
    /// Foreground anchors with the offsets they should give.
    pub positive: Vec<(usize, [f32; 4])>,
    /// Background anchors.
    pub negative: Vec<usize>,
}

/// Samples anchors of image `image`.
pub(super) fn sample_anchors(
    objects: &Objects,
    anchors: &AnchorSet,
    matcher: &Matcher,
    balance: Balance,
    choice: Choice,
    image: usize,
) -> AnchorSamples {
    let matches = matcher.assign(&objects.boxes, &anchors.boxes);
    let (positive, negative) = split(&matches);
    let (positive, negative) = balance.choose(&positive, &negative, choice, image, Stage::Anchors);
    let target = |anchor: usize| match matches[anchor] {
        Match::Object(o) => Some((anchor, BoxCoder::UNIT.encode(objects.boxes[o as usize], anchors.boxes[anchor]))),
        _ => None,
    };
    AnchorSamples { positive: positive.into_iter().filter_map(target).collect(), negative }
}

/// Proposals of one image that the second stage trains on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct RoiSamples {
    /// Regions.
    pub boxes: Vec<Corners>,
    /// Output that each should choose, background for many.
    pub outputs: Vec<i64>,
    /// For each foreground region: its index in `boxes`, its object, and the offsets it should give.
    pub positive: Vec<(usize, usize, [f32; 4])>,
}

/// Samples among `proposals` and the objects' own boxes (so that there is foreground from the first step on).
pub(super) fn sample_rois(
    objects: &Objects,
    mut proposals: Vec<Corners>,
    matcher: &Matcher,
    coder: &BoxCoder,
    balance: Balance,
    choice: Choice,
    image: usize,
) -> RoiSamples {
    proposals.extend(&objects.boxes);
    let matches = matcher.assign(&objects.boxes, &proposals);
    let (positive, negative) = split(&matches);
    let (positive, negative) = balance.choose(&positive, &negative, choice, image, Stage::Proposals);
    let mut chosen = [positive, negative].concat();
    chosen.sort_unstable();
    let mut samples = RoiSamples::default();
    for (row, &i) in chosen.iter().enumerate() {
        samples.boxes.push(proposals[i]);
        samples.outputs.push(match matches[i] {
            Match::Object(o) => {
                let deltas = coder.encode(objects.boxes[o as usize], proposals[i]);
                samples.positive.push((row, o as usize, deltas));
                objects.outputs[o as usize]
            }
            _ => BACKGROUND,
        });
    }
    samples
}

/// Positions of foreground and of background.
fn split(matches: &[Match]) -> (Vec<usize>, Vec<usize>) {
    let at = |wanted: fn(&Match) -> bool| (0..matches.len()).filter(|i| wanted(&matches[*i])).collect();
    (at(|m| matches!(m, Match::Object(_))), at(|m| *m == Match::Background))
}
