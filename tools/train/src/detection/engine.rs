//! A detector in libtorch, as an engine among others.

use std::sync::{Mutex, PoisonError};

use repghost_backbone::Tree;
use repghost_coco::{AugmentConfig, Sample, Transform};
use repghost_heads::{Detector, HostDetections, ImageBatch};
use repghost_kernels::device::to_device;
use tch::{Device, Tensor};

use super::model::LoadedDetector;
use crate::config::Experiment;
use crate::engine::{Engine, EnginePool, Pictures, Preprocessed};
use crate::error::TrainError;
use crate::model::Class;

/// A detector in libtorch. Its operations use all of libtorch's threads, so one thread runs it at a time while the others read images.
pub struct LibtorchPool {
    detector: Mutex<Detector>,
    device: Device,
    /// None where images come resized.
    resize: Option<AugmentConfig>,
    classes: Vec<Class>,
    batch: usize,
    readers: usize,
    /// Threads of an operation. Threads that replicas started may have left libtorch fewer for threads that start later.
    intra_op_threads: i32,
}

impl LibtorchPool {
    /// A fused detector that resizes images as the experiment evaluates.
    pub fn new(e: &Experiment, mut loaded: LoadedDetector) -> Self {
        super::model::fuse_all(&mut loaded.detector);
        let resize = Some(e.data.augment.for_evaluation());
        Self { resize, ..Self::resized(e, loaded.detector, loaded.classes) }
    }

    /// A detector, as it is, for images that are resized already.
    pub fn resized(e: &Experiment, detector: Detector, classes: Vec<Class>) -> Self {
        Self {
            device: detector.named_tensors().first().map_or(Device::Cpu, |entry| entry.tensor.device()),
            detector: Mutex::new(detector),
            resize: None,
            classes,
            batch: e.eval.batch_size,
            readers: e.data.workers,
            intra_op_threads: tch::get_num_threads(),
        }
    }
}

impl EnginePool for LibtorchPool {
    fn classes(&self) -> &[Class] {
        &self.classes
    }

    fn batch(&self) -> usize {
        self.batch
    }

    fn batch_is_fixed(&self) -> bool {
        false
    }

    fn threads(&self, cores: usize) -> usize {
        self.readers.clamp(1, cores.max(1))
    }

    fn preprocess(&self, sample: Sample) -> Preprocessed {
        match &self.resize {
            Some(resize) => Preprocessed::of(&resize.prepare(sample)),
            None => Preprocessed::of(&sample),
        }
    }

    fn engine(&self, _: [i64; 2], _: usize) -> Result<Box<dyn Engine + '_>, TrainError> {
        tch::set_num_threads(self.intra_op_threads);
        Ok(Box::new(LibtorchEngine(self)))
    }
}

struct LibtorchEngine<'a>(&'a LibtorchPool);

impl Engine for LibtorchEngine<'_> {
    fn detect(&mut self, pictures: Pictures) -> Result<Vec<HostDetections>, TrainError> {
        let pixels = to_device(&Tensor::f_from_slice(pictures.pixels)?.f_view(pictures.shape)?, self.0.device)?;
        let images = ImageBatch { pixels, sizes: pictures.sizes.to_vec() };
        let detector = self.0.detector.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(detector.detect(&images))
    }
}
