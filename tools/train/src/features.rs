//! Feature maps of images, as a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use repghost_backbone::backbone::level_names;
use repghost_backbone::weights::{self, load_any_form, StateDict, Strictness};
use repghost_backbone::{Backbone, Eager, Tree};
use tch::{Device, Kind, Tensor};

use crate::config::Experiment;
use crate::detection::{data, model};
use crate::error::TrainError;
use crate::images::{FoundImages, ImageFiles};
use crate::runtime::device;
use crate::tensors;
use crate::weights_file::WeightsFile;

/// What gives the maps.
enum Network {
    /// A detector's: C levels of the backbone, P levels of the pyramid.
    Detector(Box<repghost_heads::Detector>),
    /// A backbone alone (its weights as timm and the authors publish them): C levels.
    Backbone(Box<Backbone>),
}

/// Computes the tapped maps of each image (alone in its batch, padded to a multiple of 32) and writes them as safetensors: `C3` and so on
/// for one image, `NAME/C3` for several. Returns names and shapes.
///
/// # Errors
/// Files that do not fit or cannot be read.
pub fn features(
    e: &Experiment,
    weights: WeightsFile,
    images: &[PathBuf],
    output: &Path,
) -> Result<Vec<(String, Vec<i64>)>, TrainError> {
    let paths = FoundImages::find(images, false)?.paths;
    let device = device(e)?;
    let network = network(e, weights)?;
    let mut e = e.clone();
    e.eval.batch_size = 1;
    let decode = e.data.decode();
    let loader = data::eval_loader(&e, Arc::new(ImageFiles::new(paths.clone(), decode)))?;
    let mut state = StateDict::default();
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        let pixels = tensors::images(&batch, device).pixels;
        let Some((target, size)) = batch.targets.first().zip(batch.sizes.first()) else { continue };
        let prefix = if paths.len() == 1 { String::new() } else { format!("{}/", target.file_name) };
        for (level, map) in network.maps(&pixels) {
            state.tensors.push((format!("{prefix}{level}"), map.f_to_device(Device::Cpu)?));
        }
        let [h, w] = *size;
        state.metadata.insert(format!("{prefix}size"), format!("{h} x {w}, padded to {} x {}", batch.shape[2], batch.shape[3]));
    }
    weights::write(output, &state)?;
    Ok(state.tensors.iter().map(|(n, t)| (n.clone(), t.size())).collect())
}

fn network(e: &Experiment, file: WeightsFile) -> Result<Network, TrainError> {
    if file.is_detector() {
        return Ok(Network::Detector(Box::new(model::load(e, file)?.detector)));
    }
    let backbone = backbone(e, &file)?;
    backbone.convert(device(e)?, Kind::Float);
    Ok(Network::Backbone(Box::new(backbone)))
}

/// The experiment's backbone, without its classifier, with weights as timm and the authors publish them.
///
/// # Errors
/// Weights that do not cover it.
pub fn backbone(e: &Experiment, file: &WeightsFile) -> Result<Backbone, TrainError> {
    let mut backbone = e.model.backbone.build_features()?;
    load_any_form(&mut backbone, "", &file.state, Strictness::Covering)?;
    Ok(backbone)
}

impl Network {
    /// Maps by level name.
    fn maps(&self, pixels: &Tensor) -> Vec<(String, Tensor)> {
        let _guard = tch::no_grad_guard();
        let ops = &mut Eager::eval();
        let named = |b: &Backbone, maps: Vec<Tensor>| -> Vec<(String, Tensor)> { b.tap_names().into_iter().zip(maps).collect() };
        match self {
            Network::Backbone(b) => named(b, b.features(ops, pixels)),
            Network::Detector(d) => {
                let b = d.backbone();
                let body = b.body.features(ops, pixels);
                let pyramid = b.fpn.forward(ops, &body);
                let mut all = named(&b.body, body);
                all.extend(level_names("P", b.fpn.levels()).into_iter().zip(pyramid));
                all
            }
        }
    }
}
