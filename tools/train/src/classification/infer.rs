//! A classifier over a loader: class probabilities of each image.

use std::sync::atomic::{AtomicBool, Ordering};

use repghost_backbone::{Backbone, Eager, Tree};
use repghost_coco::{Batch, Loader, Share};
use repghost_distributed::Group;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::error::TrainError;
use crate::tensors;
use crate::together::gathered;

/// The prediction for one image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageScores {
    /// Number of the image in its source.
    pub image_id: i64,
    /// Its file name.
    pub file_name: String,
    /// Its true class, where the source has it.
    pub label: Option<usize>,
    /// Probability of each class.
    pub probabilities: Vec<f32>,
}

/// Predictions for all images.
#[derive(Clone, Debug, Default)]
pub struct Scored {
    /// One per image, in the source's order.
    pub images: Vec<ImageScores>,
    /// Messages about images that could not be read.
    pub unreadable: Vec<String>,
}

impl ImageScores {
    /// The `k` most probable classes, best first; equals in their order.
    pub fn top(&self, k: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.probabilities.len()).collect();
        order.sort_by(|a, b| self.probabilities[*b].total_cmp(&self.probabilities[*a]));
        order.truncate(k);
        order
    }
}

/// Runs the classifier over all images of a loader, in its order. `None` when `stop` was raised on the way. `progress` gets the numbers of images
/// done and images in all.
///
/// # Errors
/// Images that cannot be read.
pub fn run(
    net: &Backbone,
    loader: &Loader,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Vec<ImageScores>>, TrainError> {
    let total = loader.len();
    let mut all = Vec::with_capacity(total);
    for batch in loader.epoch(0, 0) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = batch?;
        if !batch.placeholder {
            all.extend(classify(net, &batch)?);
        }
        progress(all.len(), total);
    }
    Ok(Some(all))
}

/// As [`run`], with the images shared by the processes of `group`: all of them return the scores of all images, and messages about those that
/// could not be read.
///
/// # Errors
/// As [`run`].
pub fn shared(
    net: &Backbone,
    mut loader: Loader,
    group: Option<&Group>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Scored>, TrainError> {
    let Some(group) = group else {
        return Ok(run(net, &loader, stop, progress)?.map(|images| Scored { images, unreadable: loader.unreadable() }));
    };
    loader = loader.with_share(Share { rank: group.rank(), size: group.size() })?;
    let scored = gathered(group, run(net, &loader, stop, progress)?)?;
    let unreadable = gathered(group, Some(loader.unreadable()))?;
    let Some((mut images, unreadable)) = scored.zip(unreadable) else { return Ok(None) };
    // Of each batch every process has a part.
    images.sort_by_key(|image| image.image_id);
    Ok(Some(Scored { images, unreadable }))
}

/// Predictions for a batch.
fn classify(net: &Backbone, batch: &Batch) -> Result<Vec<ImageScores>, TrainError> {
    let device = net.named_tensors().first().map_or(Device::Cpu, |e| e.tensor.device());
    let probabilities = tch::no_grad(|| -> Result<Tensor, TrainError> {
        let pixels = tensors::images(batch, device).pixels;
        let logits = net.classify(&mut Eager::eval(), &pixels);
        Ok(logits.f_softmax(-1, Kind::Float)?.f_to_device(Device::Cpu)?.f_reshape([-1])?)
    })?;
    let probabilities = Vec::<f32>::try_from(probabilities)?;
    let classes = (probabilities.len() / batch.targets.len().max(1)).max(1);
    let scored = batch.targets.iter().zip(probabilities.chunks_exact(classes)).map(|(target, p)| ImageScores {
        image_id: target.image_id,
        file_name: target.file_name.clone(),
        label: target.labels.first().and_then(|l| usize::try_from(*l).ok()),
        probabilities: p.to_vec(),
    });
    Ok(scored.collect())
}
