//! What a file is checked on: random numbers, and real images fitted into its input.

use repghost_backbone::synthetic::input;
use tch::Tensor;

use crate::error::ExportError;
use crate::images::Images;
use crate::letterbox::Letterbox;
use crate::spec::{BatchSize, ExportSpec};

/// Batch sizes that a dynamic file is checked at.
const DYNAMIC_BATCHES: [usize; 2] = [1, 2];
/// Random values are this much larger than -1 to 1, which is about the range of normalised pixels.
const RANDOM_RANGE: f64 = 2.0;

/// A batch.
#[derive(Clone, Debug)]
pub struct Input {
    /// Name in reports.
    pub name: String,
    /// Normalised pixels.
    pub pixels: Vec<f32>,
    /// N, 3, H, W.
    pub shape: [i64; 4],
    /// Height and width of each image within the padding.
    pub sizes: Vec<[i64; 2]>,
}

/// Random and real batches, each at every batch size that is to be checked.
///
/// # Errors
/// Images that cannot be read.
pub fn collect(spec: &ExportSpec, images: &Images) -> Result<Vec<Input>, ExportError> {
    let letterbox = Letterbox { size: spec.size.map(|s| s as usize) };
    let batches = match spec.batch {
        BatchSize::Fixed(n) => vec![n as usize],
        BatchSize::Dynamic => DYNAMIC_BATCHES.to_vec(),
    };
    let mut inputs = vec![];
    for n in batches {
        let shape = [n as i64, 3, spec.size[0], spec.size[1]];
        let random = input("gate", &shape) * RANDOM_RANGE;
        let pixels = Vec::try_from(random.reshape(-1)).unwrap_or_default();
        inputs.push(Input { name: format!("random, batch {n}"), pixels, shape, sizes: vec![spec.size; n] });
        let mut input = Input { name: format!("{}, batch {n}", images.kind), pixels: vec![], shape, sizes: vec![] };
        for i in 0..n {
            let sample = images.source.load(i % images.source.len().max(1))?;
            let mut slot = vec![0.0; 3 * (spec.size[0] * spec.size[1]) as usize];
            input.sizes.push(letterbox.write(&sample.image, &mut slot).map(|s| s as i64));
            input.pixels.extend(slot);
        }
        inputs.push(input);
    }
    Ok(inputs)
}

impl Input {
    /// As a tensor.
    pub fn tensor(&self) -> Tensor {
        Tensor::from_slice(&self.pixels).view(self.shape)
    }
}
