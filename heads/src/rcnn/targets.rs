//! Training targets of both stages: anchors and proposals against the objects.

use crate::anchors::AnchorSet;
use crate::box_coder::{BoxCoder, Corners};
use crate::label_map::{Objects, BACKGROUND};
use crate::matcher::{Match, Matcher};

use super::sampler::{BalancedSampler, Draw, Population};

/// Anchors of one image that take part in the first stage's loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AnchorSamples {
    /// Foreground anchors with their target offsets.
    pub positive: Vec<(usize, [f32; 4])>,
    /// Background anchors.
    pub negative: Vec<usize>,
}

/// Samples anchors of image `image`.
pub(super) fn sample_anchors(
    objects: &Objects<'_>,
    anchors: &AnchorSet,
    matcher: &Matcher,
    sampler: BalancedSampler,
    draw: Draw,
    image: usize,
) -> AnchorSamples {
    let matches = matcher.assign(objects.boxes, &anchors.boxes);
    let (positive, negative) = split(&matches);
    let (positive, negative) = sampler.choose(&positive, &negative, draw, image, Population::Anchors);
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
    /// Target output of each; many are background.
    pub outputs: Vec<i64>,
    /// For each foreground region: its index in `boxes`, its object, and its target offsets.
    pub positive: Vec<(usize, usize, [f32; 4])>,
}

/// Samples among `proposals` and the objects' own boxes (so that there is foreground from the first step on).
pub(super) fn sample_rois(
    objects: &Objects<'_>,
    mut proposals: Vec<Corners>,
    matcher: &Matcher,
    coder: &BoxCoder,
    sampler: BalancedSampler,
    draw: Draw,
    image: usize,
) -> RoiSamples {
    proposals.extend(objects.boxes);
    let matches = matcher.assign(objects.boxes, &proposals);
    let (positive, negative) = split(&matches);
    let (positive, negative) = sampler.choose(&positive, &negative, draw, image, Population::Proposals);
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
