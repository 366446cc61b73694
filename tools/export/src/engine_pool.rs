//! Exported detectors as a pool of engines: files, or weights that are exported in memory, once for each size of input.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use repghost_coco::{AugmentConfig, Sample, Transform};
use repghost_train::detection::model::LoadedDetector;
use repghost_train::engine::{Engine, EnginePool, Preprocessed};
use repghost_train::model::Class;
use repghost_train::{Experiment, TrainError};

use crate::engine::exported::ExportedDetector;
use crate::error::ExportError;
use crate::letterbox::Letterbox;
use crate::metadata::Metadata;
use crate::model::Model;
use crate::onnx::{ElementType, Nms};
use crate::parts;
use crate::runtime::{Runtime, REFERENCE};
use crate::spec::{BatchSize, ExportSpec, Part};

/// Extension of exported files.
pub const EXTENSION: &str = "onnx";

/// A detector in a runtime for exported files.
pub struct ExportedPool {
    kind: Kind,
    runtime: &'static Runtime,
    classes: Vec<Class>,
}

enum Kind {
    /// A file, with one size of input.
    File(Arc<ExportedDetector>),
    /// A model, exported anew for each size of input.
    Model(Box<InMemory>),
}

struct InMemory {
    resize: AugmentConfig,
    precision: ElementType,
    model: Mutex<Model>,
    opened: Mutex<HashMap<[i64; 2], Arc<ExportedDetector>>>,
}

impl ExportedPool {
    /// An exported file, `F.onnx`.
    ///
    /// # Errors
    /// Files that do not fit; a runtime that is not there.
    pub fn of_file(e: &Experiment, file: &Path, runtime: &'static Runtime) -> Result<Self, ExportError> {
        (runtime.check)()?;
        Ok(Self { runtime, ..Self::opened(ExportedDetector::file(file, e)?) })
    }

    /// A detector with its weights, which is fused and exported in memory.
    ///
    /// # Errors
    /// A runtime that is not there.
    pub fn of_detector(e: &Experiment, loaded: LoadedDetector, runtime: &'static Runtime) -> Result<Self, ExportError> {
        Self::of_detector_as(e, loaded, runtime, ElementType::F32, true)
    }

    /// A detector with its weights, exported in memory in a precision, fused or as it was trained.
    ///
    /// # Errors
    /// A runtime that is not there.
    pub fn of_detector_as(
        e: &Experiment,
        loaded: LoadedDetector,
        runtime: &'static Runtime,
        precision: ElementType,
        fused: bool,
    ) -> Result<Self, ExportError> {
        (runtime.check)()?;
        let mut model = Model::from(loaded);
        if fused {
            model.network.fuse();
        }
        let classes = model.classes.clone();
        let resize = e.data.augment.for_evaluation();
        let held = InMemory { resize, precision, model: Mutex::new(model), opened: Mutex::default() };
        Ok(Self { kind: Kind::Model(Box::new(held)), runtime, classes })
    }

    /// Size of the files in bytes; of those in memory the largest size of input that was run.
    pub fn bytes(&self) -> u64 {
        match &self.kind {
            Kind::File(opened) => opened.bytes(),
            Kind::Model(held) => {
                let all = held.opened.lock().unwrap_or_else(PoisonError::into_inner);
                all.values().map(|opened| opened.bytes()).max().unwrap_or(0)
            }
        }
    }

    /// A file in memory, in the runtime that is the reference.
    pub fn opened(opened: ExportedDetector) -> Self {
        let classes = opened.classes.clone();
        Self { kind: Kind::File(Arc::new(opened)), runtime: REFERENCE, classes }
    }

    fn files(&self, padded: [i64; 2]) -> Result<Arc<ExportedDetector>, ExportError> {
        let held = match &self.kind {
            Kind::File(opened) => return Ok(opened.clone()),
            Kind::Model(held) => held,
        };
        let mut all = held.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get(&padded) {
            return Ok(found.clone());
        }
        let _guard = tch::no_grad_guard();
        let model = held.model.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = ExportSpec { precision: held.precision, batch: BatchSize::Fixed(1), size: padded };
        let built = parts::build(&model, Part::Raw, &spec, Nms::PLAIN, &Metadata(vec![]))?;
        let opened = Arc::new(ExportedDetector::built(&built, model.network.decoder(), &self.classes)?);
        all.insert(padded, opened.clone());
        Ok(opened)
    }
}

impl EnginePool for ExportedPool {
    fn classes(&self) -> &[Class] {
        &self.classes
    }

    fn batch(&self) -> usize {
        match &self.kind {
            Kind::File(opened) => opened.input.batch.unwrap_or(1) as usize,
            Kind::Model(_) => 1,
        }
    }

    fn batch_is_fixed(&self) -> bool {
        true
    }

    /// Letterboxes an image for a file, resizes and pads it for a model.
    fn preprocess(&self, sample: Sample) -> Preprocessed {
        match &self.kind {
            Kind::File(opened) => {
                let size = opened.input.size;
                let mut pixels = vec![0.0; 3 * (size[0] * size[1]) as usize];
                let inner = Letterbox { size: size.map(|s| s as usize) }.write(&sample.image, &mut pixels);
                Preprocessed { pixels, padded: size, size: inner.map(|s| s as i64) }
            }
            Kind::Model(model) => Preprocessed::of(&model.resize.prepare(sample)),
        }
    }

    fn engine(&self, padded: [i64; 2], threads: usize) -> Result<Box<dyn Engine + '_>, TrainError> {
        Ok(self.files(padded)?.engine(threads, self.runtime)?)
    }
}
