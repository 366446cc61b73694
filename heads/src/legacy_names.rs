//! Names of older torchvision checkpoints.
//!
//! torchvision 0.13 wrapped the convolutions of its pyramid and heads and so changed their names; it renames old checkpoints while
//! it loads them. The published files of `retinanet_resnet50_fpn`, `fasterrcnn_resnet50_fpn` and `maskrcnn_resnet50_fpn` are such old
//! ones. [`upgrade_names`] does the same renaming and returns each change, so that none passes unseen.
//!
//! | old | new |
//! |---|---|
//! | `fpn.inner_blocks.1.weight`, `fpn.layer_blocks.1.weight` | `fpn.inner_blocks.1.0.weight`, `fpn.layer_blocks.1.0.weight` |
//! | `head.classification_head.conv.2.weight` (every second index was a ReLU) | `head.classification_head.conv.1.0.weight` |
//! | `rpn.head.conv.weight` | `rpn.head.conv.0.0.weight` |
//! | `roi_heads.mask_head.mask_fcn1.weight` | `roi_heads.mask_head.0.0.weight` |
//! | `backbone.body.0.0.weight` (a MobileNet's layers, in detectors old and new) | `backbone.body.features.0.0.weight` |

use repghost_backbone::weights::StateDict;

/// Renames what an older torchvision named differently. Returns (old, new) for each change.
pub fn upgrade_names(state: &mut StateDict) -> Vec<(String, String)> {
    let mut changes = Vec::new();
    // FCOS lists a norm and a ReLU behind each convolution, then as now: its towers keep their names.
    let is_norm = |name: &str| name.ends_with("_head.conv.1.weight");
    let with_norms = state.names().any(is_norm);
    for (name, _) in &mut state.tensors {
        if with_norms && name.contains("_head.conv.") {
            continue;
        }
        if let Some(new) = modern(name) {
            changes.push((std::mem::replace(name, new.clone()), new));
        }
    }
    changes
}

/// The present name of a tensor with an old name.
fn modern(name: &str) -> Option<String> {
    if let Some(layer) = name.strip_prefix("backbone.body.").filter(|layer| layer.starts_with(|c: char| c.is_ascii_digit())) {
        return Some(format!("backbone.body.features.{layer}"));
    }
    let (path, leaf) = name.rsplit_once('.')?;
    if leaf != "weight" && leaf != "bias" {
        return None;
    }
    let (parent, last) = path.rsplit_once('.')?;
    if path.ends_with("rpn.head.conv") {
        return Some(format!("{path}.0.0.{leaf}"));
    }
    if parent.ends_with("roi_heads.mask_head") {
        let n: usize = last.strip_prefix("mask_fcn")?.parse().ok()?;
        return Some(format!("{parent}.{}.0.{leaf}", n.checked_sub(1)?));
    }
    let index: usize = last.parse().ok()?;
    if parent.ends_with("fpn.inner_blocks") || parent.ends_with("fpn.layer_blocks") {
        return Some(format!("{path}.0.{leaf}"));
    }
    let tower = parent.ends_with("head.classification_head.conv") || parent.ends_with("head.regression_head.conv");
    (tower && index.is_multiple_of(2)).then(|| format!("{parent}.{}.0.{leaf}", index / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_renamed_and_returned() {
        let pairs = [
            ("backbone.fpn.inner_blocks.2.weight", "backbone.fpn.inner_blocks.2.0.weight"),
            ("backbone.fpn.layer_blocks.0.bias", "backbone.fpn.layer_blocks.0.0.bias"),
            ("head.classification_head.conv.0.weight", "head.classification_head.conv.0.0.weight"),
            ("head.regression_head.conv.6.bias", "head.regression_head.conv.3.0.bias"),
            ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight"),
            ("roi_heads.mask_head.mask_fcn4.bias", "roi_heads.mask_head.3.0.bias"),
            ("backbone.body.4.block.2.fc1.bias", "backbone.body.features.4.block.2.fc1.bias"),
            ("backbone.body.16.1.running_mean", "backbone.body.features.16.1.running_mean"),
        ];
        let tensor = || tch::Tensor::from(0f32);
        let mut state = StateDict { tensors: pairs.map(|(old, _)| (old.to_string(), tensor())).into(), ..Default::default() };
        let renamed = upgrade_names(&mut state);
        assert_eq!(renamed, pairs.map(|(old, new)| (old.to_string(), new.to_string())));
        assert_eq!(state.names().collect::<Vec<_>>(), pairs.map(|(_, new)| new));
        assert_eq!(upgrade_names(&mut state), [], "new names stay");
    }

    /// FCOS's towers, whose second convolution has the number that RetinaNet's fourth once had.
    #[test]
    fn fcos_keeps_its_names() {
        let names = [0, 1, 3, 4, 6, 7].map(|i| format!("head.classification_head.conv.{i}.weight"));
        let tensor = || tch::Tensor::from(0f32);
        let mut state = StateDict { tensors: names.clone().map(|n| (n, tensor())).into(), ..Default::default() };
        assert_eq!(upgrade_names(&mut state), []);
        assert_eq!(state.names().collect::<Vec<_>>(), names);
    }

    #[test]
    fn other_names_stay() {
        for name in [
            "head.classification_head.cls_logits.weight",
            "head.classification_head.conv.0.1.weight",
            "backbone.body.layer1.0.conv1.weight",
            "backbone.fpn.extra_blocks.p6.weight",
            "rpn.head.cls_logits.bias",
            "roi_heads.mask_predictor.conv5_mask.weight",
            "weight",
        ] {
            assert_eq!(modern(name), None);
        }
    }
}
