//! What network weights look like: family, width and the prefix that the backbone's names carry.
//!
//! A guess is for people (`weights inspect`) and for messages ("these look like ghostnet 1.0x"); nothing is loaded by it.

use std::collections::HashMap;

use super::StateDict;
use crate::families::make_divisible;

/// A guess.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// Family, as `model.backbone.name` calls it.
    pub family: String,
    /// Channel multiplier, where the family has one and the channels tell it.
    pub width: Option<f64>,
    /// What stands before the backbone's names (`"backbone.body."` in a detector).
    pub prefix: String,
    /// `retinanet` or `mask_rcnn`, where a detector's head is there too.
    pub head: Option<String>,
}

impl std::fmt::Display for Guess {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if let Some(head) = &self.head {
            write!(f, "{head} on ")?;
        }
        f.write_str(&self.family)?;
        self.width.map_or(Ok(()), |w| write!(f, " {w}x"))
    }
}

/// Published widths, tried before any other. Some give equal channels (1.1 and 1.11), so each group of families has its own.
const REPGHOST_WIDTHS: &[f64] = &[1.0, 0.5, 0.58, 0.8, 1.11, 1.3, 1.5, 2.0];
const GHOST_WIDTHS: &[f64] = &[1.0, 0.5, 1.1, 1.3, 1.6];
const MOBILE_WIDTHS: &[f64] = &[1.0, 0.75, 0.5, 0.35, 1.4];
/// Prefixes under which a backbone may stand.
const PREFIXES: [&str; 4] = ["", "backbone.body.", "backbone.", "model.backbone."];

/// Guesses the network of a state dict.
pub fn guess(state: &StateDict) -> Option<Guess> {
    let shapes: HashMap<&str, Vec<i64>> = state.tensors.iter().map(|(n, t)| (n.as_str(), t.size())).collect();
    PREFIXES.iter().find_map(|prefix| {
        let names = Names { shapes: &shapes, prefix };
        let (family, width) = ghost(&names).or_else(|| mobilenet(&names)).or_else(|| plain(&names))?;
        Some(Guess { family, width, prefix: prefix.to_string(), head: head(&shapes) })
    })
}

fn head(shapes: &HashMap<&str, Vec<i64>>) -> Option<String> {
    let any = |start: &str| shapes.keys().any(|n| n.starts_with(start));
    if any("roi_heads.mask_") {
        Some("mask_rcnn".into())
    } else if any("head.classification_head.") {
        Some("retinanet".into())
    } else {
        None
    }
}

struct Names<'a> {
    shapes: &'a HashMap<&'a str, Vec<i64>>,
    prefix: &'a str,
}

impl Names<'_> {
    /// Shape of the first of `names` that is there.
    fn shape(&self, names: &[&str]) -> Option<&[i64]> {
        names.iter().find_map(|n| self.shapes.get(format!("{}{n}", self.prefix).as_str())).map(Vec::as_slice)
    }

    /// Output channels of the first of `names` that is there.
    fn outputs(&self, names: &[&str]) -> Option<i64> {
        self.shape(names)?.first().copied()
    }

    fn has(&self, part: &str) -> bool {
        self.shapes.keys().any(|n| n.strip_prefix(self.prefix).is_some_and(|n| n.contains(part)))
    }

    /// Number of blocks `start.0.`, `start.1.`, ….
    fn count(&self, start: &str) -> usize {
        (0..).take_while(|i| self.shapes.keys().any(|n| n.starts_with(&format!("{}{start}.{i}.", self.prefix)))).count()
    }
}

/// GhostNet, GhostNetV2 and RepGhostNet share timm's names. A RepGhost module's outputs are its primary convolution's; a Ghost
/// module doubles them, which the depthwise convolution behind it shows.
fn ghost(n: &Names) -> Option<(String, Option<f64>)> {
    let stem = n.outputs(&["conv_stem.weight"])?;
    let primary = n.outputs(&["blocks.1.0.ghost1.primary_conv.0.weight"])?;
    let behind = n.outputs(&["blocks.1.0.conv_dw.weight"])?;
    let (family, widths) = if n.has(".short_conv.") {
        ("ghostnetv2", GHOST_WIDTHS)
    } else if primary == behind {
        ("repghostnet", REPGHOST_WIDTHS)
    } else {
        ("ghostnet", GHOST_WIDTHS)
    };
    // The projection shortcut's last convolution has the block's output channels, at widths 24, 40, 80 and 160.
    let mut channels = vec![(16.0, stem)];
    for (group, base) in [(1, 24.0), (3, 40.0), (5, 80.0), (7, 160.0)] {
        let name = format!("blocks.{group}.0.shortcut.2.weight");
        channels.extend(n.outputs(&[&name]).map(|c| (base, c)));
    }
    Some((family.into(), width(&channels, 4, widths)))
}

/// MobileNets have torchvision's names; V2 has more blocks and no gates. The last block's projection tells the width.
fn mobilenet(n: &Names) -> Option<(String, Option<f64>)> {
    let stem = n.outputs(&["features.0.0.weight"])?;
    let (family, base, last, last_base) = match (n.has(".fc1."), n.count("features")) {
        (false, 18..) => ("mobilenet_v2", 32.0, "features.17.conv.2.weight", 320.0),
        (true, 16..) => ("mobilenet_v3_large", 16.0, "features.15.block.3.0.weight", 160.0),
        (true, 12..) => ("mobilenet_v3_small", 16.0, "features.11.block.3.0.weight", 96.0),
        _ => return None,
    };
    let mut channels = vec![(base, stem)];
    channels.extend(n.outputs(&[last]).map(|c| (last_base, c)));
    Some((family.into(), width(&channels, 8, MOBILE_WIDTHS)))
}

/// Networks without a width: told by their blocks.
fn plain(n: &Names) -> Option<(String, Option<f64>)> {
    multi_branch(n).or_else(|| resnet(n)).map(|family| (family.to_string(), None))
}

/// RepVGG and MobileOne have timm's names, and share them once fused; MobileOne's blocks are depthwise and pointwise in turn.
fn multi_branch(n: &Names) -> Option<&'static str> {
    let block = |name: &str| {
        let kinds = ["conv_kxk.0.conv", "conv_kxk.conv", "reparam_conv"].map(|kind| format!("{name}.{kind}.weight"));
        n.shape(&kinds.each_ref().map(String::as_str))
    };
    let depthwise = block("stages.0.0")?.get(1) == Some(&1);
    let outputs = |name: &str| block(name).and_then(|s| s.first().copied()).unwrap_or_default();
    if depthwise {
        return match (outputs("stages.0.1"), outputs("stages.1.1")) {
            (48, _) => Some("mobileone_s0"),
            (96, 192) => Some("mobileone_s1"),
            (96, 256) => Some("mobileone_s2"),
            (128, _) => Some("mobileone_s3"),
            (192, _) => Some("mobileone_s4"),
            _ => None,
        };
    }
    match (outputs("stages.0.0"), n.count("stages.0")) {
        (48, 2) => Some("repvgg_a0"),
        (64, 2) => Some("repvgg_a1"),
        (96, 2) => Some("repvgg_a2"),
        (64, 4) => Some("repvgg_b0"),
        _ => None,
    }
}

fn resnet(n: &Names) -> Option<&'static str> {
    n.outputs(&["conv1.weight"])?;
    let depth = [1, 2, 3, 4].map(|l| n.count(&format!("layer{l}")));
    let bottleneck = n.has("layer1.0.conv3.");
    let ghost = n.has(".primary_conv.");
    let added = n.has(".fusion_bn.") || n.has(".cheap_operation.weight");
    match (depth, bottleneck, ghost) {
        ([2, 2, 2, 2], false, false) => Some("resnet18"),
        ([3, 4, 6, 3], false, false) => Some("resnet34"),
        ([3, 4, 6, 3], true, false) => Some("resnet50"),
        ([3, 4, 23, 3], true, false) => Some("resnet101"),
        ([3, 4, 6, 3], true, true) => Some(if added { "repghost_resnet50" } else { "ghost_resnet50" }),
        _ => None,
    }
}

/// The width at which every base count rounds to the channels found: a published one, else the nearest in hundredths to the ratio of
/// the widest.
fn width(channels: &[(f64, i64)], divisor: i64, published: &[f64]) -> Option<f64> {
    const STEPS: i32 = 20;
    let fits = |w: f64| w > 0.0 && channels.iter().all(|(base, c)| make_divisible(base * w, divisor) == *c);
    if let Some(w) = published.iter().find(|w| fits(**w)) {
        return Some(*w);
    }
    let (base, widest) = channels.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let hundredths = (widest as f64 / base * 100.0).round();
    (0..STEPS).flat_map(|d| [f64::from(d), f64::from(-d)]).map(|d| (hundredths + d) / 100.0).find(|w| fits(*w))
}
