//! From a weights file to detections in a few lines.
//!
//! ```no_run
//! use repghost_train::Predictor;
//!
//! // Experiment and classes come from the file.
//! let predictor = Predictor::open("runs/demo/weights/best.safetensors")?;
//! let image = image::open("street.jpg").expect("an image").to_rgb8();
//! for object in predictor.detect(&image)? {
//!     println!("{} {:.2} {:?}", object.class, object.score, object.bbox);
//! }
//! # Ok::<(), repghost_train::TrainError>(())
//! ```

use std::path::Path;

use repghost_coco::{RgbImage, Rle, Sample, SampleTarget};

use crate::config::Experiment;
use crate::detection::engine::LibtorchPool;
use crate::detection::model;
use crate::engine::{EnginePool, ThreadEngines};
use crate::error::TrainError;
use crate::inference::detect_one;
use crate::model::Class;
use crate::weights_file::WeightsFile;

/// An object in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectedObject {
    /// Name of its class.
    pub class: String,
    /// Category id of its class in the annotation file that the network was trained on.
    pub class_id: i64,
    /// From 0 to 1.
    pub score: f64,
    /// Left, top, width and height in pixels of the image.
    pub bbox: [f64; 4],
    /// Its pixels, where the detector has a mask branch: a run-length code of the image's height and width, as COCO has it.
    pub mask: Option<Rle>,
}

/// A detector that is ready to run, fused, on libtorch; on the first CUDA device where there is one.
pub struct Predictor {
    experiment: Experiment,
    pool: LibtorchPool,
}

impl Predictor {
    /// Opens weights that a run wrote (`weights/best.safetensors`, a checkpoint, or what `fuse` made of them): experiment and classes come
    /// from the file.
    ///
    /// # Errors
    /// Files that are missing, damaged, of other software ([`Predictor::open_with`] takes those), or that hold no detector.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        let file = WeightsFile::read(path.as_ref())?;
        let experiment = file.experiment(&[])?.experiment;
        Self::from_file(experiment, file)
    }

    /// Opens weights for the network that an experiment describes, as published files need it. Where the file names no classes, they are
    /// COCO's for heads that are numbered by COCO's ids, else those of `data.classes`, else numbers.
    ///
    /// # Errors
    /// Files that are missing, damaged or that do not fit, tensor by tensor.
    pub fn open_with(experiment: &Experiment, path: impl AsRef<Path>) -> Result<Self, TrainError> {
        Self::from_file(experiment.clone(), WeightsFile::read(path.as_ref())?)
    }

    fn from_file(experiment: Experiment, file: WeightsFile) -> Result<Self, TrainError> {
        let loaded = model::load(&experiment, file)?;
        Ok(Self { pool: LibtorchPool::new(&experiment, loaded), experiment })
    }

    /// The experiment, whose `eval` settings (score threshold, NMS) and `data.augment.resize` apply.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// Classes, by label.
    pub fn classes(&self) -> &[Class] {
        self.pool.classes()
    }

    /// Objects of an image of any size, best first.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn detect(&self, image: &RgbImage) -> Result<Vec<DetectedObject>, TrainError> {
        let original_size = [image.height() as usize, image.width() as usize];
        let target = SampleTarget { original_size, ..SampleTarget::default() };
        let sample = Sample { image: image.clone(), target, ..Sample::default() };
        let found = detect_one(&self.pool, &mut ThreadEngines::new(&self.pool, 1), sample)?;
        let class = |id: i64| self.classes().iter().find(|c| c.id == id).map_or_else(|| id.to_string(), |c| c.name.clone());
        Ok(found
            .objects
            .into_iter()
            .map(|d| DetectedObject {
                class: class(d.category_id),
                class_id: d.category_id,
                score: d.score,
                bbox: d.bbox.unwrap_or_default(),
                mask: d.segmentation,
            })
            .collect())
    }
}
