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

/// Published widths, tried before any other.
const PUBLISHED: [f64; 12] = [1.0, 0.5, 0.58, 0.8, 1.11, 1.1, 1.3, 1.5, 1.6, 2.0, 0.75, 1.4];
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
    /// Output channels of the first of `names` that is there.
    fn outputs(&self, names: &[&str]) -> Option<i64> {
        names.iter().find_map(|n| self.shapes.get(format!("{}{n}", self.prefix).as_str())?.first().copied())
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
    let family = if n.has(".short_conv.") {
        "ghostnetv2"
    } else if primary == behind {
        "repghostnet"
    } else {
        "ghostnet"
    };
    // The projection shortcut's last convolution has the block's output channels, at widths 24, 40, 80 and 160.
    let mut channels = vec![(16.0, stem)];
    for (group, base) in [(1, 24.0), (3, 40.0), (5, 80.0), (7, 160.0)] {
        let name = format!("blocks.{group}.0.shortcut.2.weight");
        channels.extend(n.outputs(&[&name]).map(|c| (base, c)));
    }
    Some((family.into(), width(&channels, 4)))
}

fn mobilenet(n: &Names) -> Option<(String, Option<f64>)> {
    let stem = n.outputs(&["features.0.0.weight"])?;
    let blocks = n.count("features");
    let squeezed = n.has(".fc1.") || n.has(".fc2.");
    let (family, base) = match (squeezed, blocks) {
        (false, 18..) => ("mobilenetv2", 32.0),
        (true, 15..) => ("mobilenetv3_large", 16.0),
        (true, _) => ("mobilenetv3_small", 16.0),
        _ => return None,
    };
    let mut known = vec![(base, stem)];
    if family == "mobilenetv2" {
        known.extend(n.outputs(&["features.17.conv.2.weight"]).map(|c| (320.0, c)));
    }
    Some((family.into(), width(&known, 8)))
}

/// Networks without a width: told by their blocks.
fn plain(n: &Names) -> Option<(String, Option<f64>)> {
    if n.has("conv_kxk.0.") {
        return Some(("mobileone".into(), None));
    }
    if n.has("conv_kxk.") {
        return Some(("repvgg".into(), None));
    }
    n.outputs(&["conv1.weight"])?;
    let depth = [1, 2, 3, 4].map(|l| n.count(&format!("layer{l}")));
    let ghost = n.has("primary_conv");
    let bottleneck = n.has("layer1.0.conv3");
    let family = match (depth, bottleneck, ghost) {
        ([2, 2, 2, 2], false, false) => "resnet18",
        ([3, 4, 6, 3], false, false) => "resnet34",
        ([3, 4, 6, 3], true, false) => "resnet50",
        ([3, 4, 23, 3], true, false) => "resnet101",
        ([3, 4, 6, 3], true, true) => "ghost_resnet50",
        _ => return None,
    };
    Some((family.into(), None))
}

/// The width at which every base count rounds to the channels found: a published one, else the one nearest to the widest ratio.
fn width(channels: &[(f64, i64)], divisor: i64) -> Option<f64> {
    let fits = |w: f64| channels.iter().all(|(base, c)| make_divisible(base * w, divisor) == *c);
    if let Some(w) = PUBLISHED.into_iter().find(|w| fits(*w)) {
        return Some(w);
    }
    let (base, widest) = channels.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0))?;
    let ratio = widest as f64 / base;
    // Hundredths around the ratio, nearest first.
    (0..20)
        .flat_map(|d| [ratio + f64::from(d) / 100.0, ratio - f64::from(d) / 100.0])
        .map(|w| (w * 100.0).round() / 100.0)
        .find(|w| *w > 0.0 && fits(*w))
}
