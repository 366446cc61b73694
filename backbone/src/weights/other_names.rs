//! Names of other code for networks that are here too: timm's MobileNetV2 and V3 (torchvision's names are read here), and RepVGG and
//! MobileOne as their authors published them (timm's names are read).
//!
//! [`translate`] renames a state dict where *every* name of it fits one of these schemes, and records that in the state dict's notes.
//! The tensors are the same; only MobileNetV3's `conv_head` is a fully connected layer in torchvision, so its kernel loses two dimensions
//! of one. A file of which any name does not fit stays as it is.

use std::collections::BTreeSet;

use tch::Tensor;

use super::StateDict;

/// Renames the names of other code. Counters and names that profilers leave behind are passed through.
pub(super) fn translate(state: &mut StateDict) {
    let schemes: [fn(&StateDict) -> Option<Renamed>; 2] = [authors, timm_mobilenet];
    if let Some(renamed) = schemes.iter().find_map(|scheme| scheme(state)) {
        state.tensors = renamed.tensors;
        state.notes.push(renamed.note);
    }
}

struct Renamed {
    tensors: Vec<(String, Tensor)>,
    note: String,
}

/// Renames all tensors, or none where `rename` has no name for one.
fn rename_all(state: &StateDict, rename: impl Fn(&str) -> Option<String>) -> Option<Vec<(String, Tensor)>> {
    let pair = |(name, tensor): &(String, Tensor)| {
        let leaf = name.rsplit('.').next().unwrap_or(name);
        let new = if super::load::OPTIONAL.contains(&leaf) && !name.contains('.') { name.clone() } else { rename(name)? };
        Some((new, tensor.shallow_clone()))
    };
    state.tensors.iter().map(pair).collect()
}

/// RepVGG's and MobileOne's own code: `stage1.0.rbr_dense.conv.weight`, `stage1.0.rbr_conv.0.bn.bias`, `stage1.0.se.reduce.weight`, `linear`.
fn authors(state: &StateDict) -> Option<Renamed> {
    let mobile = state.names().any(|n| n.starts_with("stage0.rbr_conv.") || n.starts_with("stage0.reparam_conv."));
    let vgg = state.names().any(|n| n.starts_with("stage0.rbr_dense.") || n.starts_with("stage0.rbr_reparam."));
    if !mobile && !vgg {
        return None;
    }
    let tensors = rename_all(state, authors_name)?;
    let of = if mobile { "MobileOne" } else { "RepVGG" };
    Some(Renamed {
        tensors,
        note: format!("the names are those of {of}'s authors; they were renamed to timm's, which are read here"),
    })
}

fn authors_name(name: &str) -> Option<String> {
    const BRANCHES: [(&str, &str); 8] = [
        ("rbr_dense", "conv_kxk"),
        ("rbr_1x1", "conv_1x1"),
        ("rbr_conv", "conv_kxk"),
        ("rbr_scale", "conv_scale"),
        ("rbr_identity", "identity"),
        ("rbr_skip", "identity"),
        ("rbr_reparam", "reparam_conv"),
        ("reparam_conv", "reparam_conv"),
    ];
    if let Some(rest) = name.strip_prefix("linear.") {
        return Some(format!("head.fc.{rest}"));
    }
    let (stage, rest) = name.strip_prefix("stage")?.split_once('.')?;
    let stage: usize = stage.parse().ok()?;
    let (block, rest) = match stage {
        0 => ("stem".to_string(), rest),
        _ => {
            let (index, rest) = rest.split_once('.')?;
            let index: usize = index.parse().ok()?;
            (format!("stages.{}.{index}", stage - 1), rest)
        }
    };
    let (part, rest) = rest.split_once('.')?;
    if part == "se" {
        let rest = rest
            .strip_prefix("reduce.")
            .map(|r| format!("fc1.{r}"))
            .or(rest.strip_prefix("expand.").map(|r| format!("fc2.{r}")))?;
        return Some(format!("{block}.attn.{rest}"));
    }
    let branch = BRANCHES.iter().find(|(theirs, _)| *theirs == part)?.1;
    Some(format!("{block}.{branch}.{rest}"))
}

/// timm's MobileNetV2 and V3: `blocks.1.0.conv_pw.weight`, `blocks.1.0.bn1.bias`, `blocks.3.0.se.conv_reduce.weight`.
fn timm_mobilenet(state: &StateDict) -> Option<Renamed> {
    let has = |name: &str| state.get(name).is_some();
    if !has("conv_stem.weight") || !has("blocks.0.0.conv_dw.weight") || !has("blocks.0.0.conv_pw.weight") {
        return None;
    }
    // V2 has a norm behind its last convolution, V3 pools first and has a bias instead.
    let second = has("bn2.weight");
    let blocks: BTreeSet<[usize; 2]> = state.names().filter_map(block_index).collect();
    let blocks: Vec<[usize; 2]> = blocks.into_iter().collect();
    let layout = Layout { state, second, blocks };
    let mut tensors = rename_all(state, |name| layout.name(name))?;
    for (name, tensor) in &mut tensors {
        if name == "classifier.0.weight" && tensor.dim() == 4 {
            *tensor = tensor.flatten(1, -1);
        }
    }
    let note = match second {
        true => "the names are timm's MobileNetV2's; they were renamed to torchvision's, which are read here".to_string(),
        false => "the names are timm's MobileNetV3's; they were renamed to torchvision's, which are read here. timm's own weights (not \
                  its tf_ ones) were trained with eps 1e-5 in the batch norms, torchvision's with 1e-3: set model.backbone.norm_eps=1e-5 \
                  for them"
            .to_string(),
    };
    Some(Renamed { tensors, note })
}

/// Group and index of `blocks.GROUP.INDEX.…`.
fn block_index(name: &str) -> Option<[usize; 2]> {
    let mut parts = name.strip_prefix("blocks.")?.split('.');
    Some([parts.next()?.parse().ok()?, parts.next()?.parse().ok()?])
}

struct Layout<'a> {
    state: &'a StateDict,
    second: bool,
    /// All blocks, in order.
    blocks: Vec<[usize; 2]>,
}

impl Layout<'_> {
    fn name(&self, name: &str) -> Option<String> {
        if let Some(index) = block_index(name) {
            return self.in_block(index, name);
        }
        let (path, leaf) = name.rsplit_once('.')?;
        let behind = self.blocks.len() + 1;
        let path = match (path, self.second) {
            ("conv_stem", _) => "features.0.0".into(),
            ("bn1", _) => "features.0.1".into(),
            ("conv_head", true) => format!("features.{behind}.0"),
            ("bn2", true) => format!("features.{behind}.1"),
            ("classifier", true) => "classifier.1".into(),
            ("conv_head", false) => "classifier.0".into(),
            ("classifier", false) => "classifier.3".into(),
            _ => return None,
        };
        Some(format!("{path}.{leaf}"))
    }

    fn in_block(&self, [group, index]: [usize; 2], name: &str) -> Option<String> {
        let prefix = format!("blocks.{group}.{index}.");
        let rest = name.strip_prefix(&prefix)?;
        let has = |part: &str| self.state.names().any(|n| n.strip_prefix(&prefix).is_some_and(|n| n.starts_with(part)));
        let (path, leaf) = rest.rsplit_once('.')?;
        let features = format!("features.{}", self.blocks.iter().position(|b| *b == [group, index])? + 1);
        if !has("conv_dw.") {
            // The convolution before V3's pooling is a block in timm.
            let step = [("conv", 0), ("bn1", 1)].iter().find(|(theirs, _)| *theirs == path)?.1;
            return Some(format!("{features}.{step}.{leaf}"));
        }
        let expands = has("conv_pwl.");
        let names: &[(&str, usize, usize)] = match expands {
            true => &[("conv_pw", 0, 0), ("bn1", 0, 1), ("conv_dw", 1, 0), ("bn2", 1, 1), ("conv_pwl", 2, 0), ("bn3", 2, 1)],
            false => &[("conv_dw", 0, 0), ("bn1", 0, 1), ("conv_pw", 1, 0), ("bn2", 1, 1)],
        };
        let last = if expands { 2 } else { 1 };
        if let Some(gate) = path.strip_prefix("se.") {
            let gate = [("conv_reduce", "fc1"), ("conv_expand", "fc2")].iter().find(|(theirs, _)| *theirs == gate)?.1;
            return Some(format!("{features}.block.{last}.{gate}.{leaf}"));
        }
        let (_, step, part) = names.iter().find(|(theirs, ..)| *theirs == path)?;
        Some(match (self.second, *step == last) {
            // The projection lies bare in V2's sequence.
            (true, true) => format!("{features}.conv.{}.{leaf}", last + part),
            (true, false) => format!("{features}.conv.{step}.{part}.{leaf}"),
            // In V3 it comes behind the gate, where there is one.
            (false, true) => format!("{features}.block.{}.{part}.{leaf}", last + usize::from(has("se."))),
            (false, false) => format!("{features}.block.{step}.{part}.{leaf}"),
        })
    }
}
