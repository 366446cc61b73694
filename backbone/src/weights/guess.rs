//! Which network the weights of a file are: name, width and the prefix of the backbone's names.
//!
//! Used by `weights inspect` and in messages ("these look like ghostnet 1.0x"); loading does not depend on it.

use std::collections::HashMap;

use super::StateDict;
use crate::registry;
use crate::shapes::Shapes;

/// A guess.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// Network, as `model.backbone.name` has it.
    pub network: String,
    /// Channel multiplier, where the network has one and the channels determine it.
    pub width: Option<f64>,
    /// Prefix of the backbone's names (`"backbone.body."` in a detector).
    pub prefix: String,
    /// Name of the head as `model.head.name` has it (`retinanet`, `fcos`, `faster_rcnn`, `mask_rcnn`), where a detector's head is there too.
    pub head: Option<String>,
}

impl std::fmt::Display for Guess {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if let Some(head) = &self.head {
            write!(f, "{head} on ")?;
        }
        f.write_str(&self.network)?;
        self.width.map_or(Ok(()), |w| write!(f, " {w}x"))
    }
}

/// Prefixes under which a backbone may stand.
const PREFIXES: [&str; 4] = ["", "backbone.body.", "backbone.", "model.backbone."];

/// Guesses the network of a state dict: the first row of the registry that recognises its names and shapes.
pub fn guess(state: &StateDict) -> Option<Guess> {
    let shapes: HashMap<&str, Vec<i64>> = state.tensors.iter().map(|(n, t)| (n.as_str(), t.size())).collect();
    let members = registry::members();
    PREFIXES.iter().find_map(|prefix| {
        let below = Shapes::new(&shapes, prefix);
        let (member, found) = members.iter().find_map(|m| Some((m, (m.recognise)(&below)?)))?;
        Some(Guess { network: member.name.into(), width: found.width, prefix: prefix.to_string(), head: head(&shapes) })
    })
}

fn head(shapes: &HashMap<&str, Vec<i64>>) -> Option<String> {
    let any = |start: &str| shapes.keys().any(|n| n.starts_with(start));
    if any("roi_heads.mask_") {
        Some("mask_rcnn".into())
    } else if any("roi_heads.") {
        Some("faster_rcnn".into())
    } else if any("head.regression_head.bbox_ctrness.") {
        Some("fcos".into())
    } else if any("head.classification_head.") {
        Some("retinanet".into())
    } else {
        None
    }
}
