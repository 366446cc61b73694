//! Where the threads of a run get their engines from: exported files, or weights that are exported in memory, once for each size of input.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use repghost_coco::{AugmentConfig, Normalize, Sample, Transform};
use repghost_train::detection::model::Class;
use repghost_train::Experiment;

use crate::engine::exported::ExportedDetector;
use crate::engine::Engine;
use crate::error::ExportError;
use crate::letterbox::Letterbox;
use crate::metadata::Metadata;
use crate::model::{self, Model};
use crate::onnx::{ElementType, Nms};
use crate::parts;
use crate::runtime::{Runtime, REFERENCE};
use crate::spec::{BatchSize, ExportSpec, Part, SIZE_MULTIPLE};

/// Extension of exported files.
pub const EXTENSION: &str = "onnx";
/// Engines that a thread keeps; images of one data set have few padded sizes.
const KEPT: usize = 4;

/// Engines for any number of threads.
pub struct EnginePool {
    kind: Kind,
    runtime: &'static Runtime,
    /// Classes by label.
    pub classes: Vec<Class>,
}

enum Kind {
    /// A file, with one size of input.
    File(Arc<ExportedDetector>),
    /// A model, exported anew for each size of input.
    Model(Box<InMemory>),
}

struct InMemory {
    resize: AugmentConfig,
    model: Mutex<Model>,
    opened: Mutex<HashMap<[i64; 2], Arc<ExportedDetector>>>,
}

/// One image as an engine takes it.
pub struct Preprocessed {
    /// Normalised pixels `[3, H, W]`.
    pub pixels: Vec<f32>,
    /// H, W.
    pub padded: [i64; 2],
    /// Height and width of the image within.
    pub size: [i64; 2],
}

impl EnginePool {
    /// From `F.onnx`, or from weights in any form.
    ///
    /// # Errors
    /// Files that do not fit; a runtime that is not there.
    pub fn open(e: &Experiment, weights: &Path, runtime: &'static Runtime) -> Result<Self, ExportError> {
        (runtime.check)()?;
        if weights.extension().is_some_and(|x| x == EXTENSION) {
            let opened = ExportedDetector::file(weights, e)?;
            let classes = opened.classes.clone();
            return Ok(Self { kind: Kind::File(Arc::new(opened)), runtime, classes });
        }
        let mut model = model::load(e, weights, Part::Raw)?;
        model.network.fuse();
        let classes = model.classes.clone();
        let resize = e.data.augment.for_evaluation();
        let held = InMemory { resize, model: Mutex::new(model), opened: Mutex::default() };
        Ok(Self { kind: Kind::Model(Box::new(held)), runtime, classes })
    }

    /// From a file in memory.
    pub fn opened(opened: ExportedDetector) -> Self {
        let classes = opened.classes.clone();
        Self { kind: Kind::File(Arc::new(opened)), runtime: REFERENCE, classes }
    }

    /// Images that an engine takes at once.
    pub fn batch(&self) -> usize {
        match &self.kind {
            Kind::File(opened) => opened.input.batch.unwrap_or(1) as usize,
            Kind::Model(_) => 1,
        }
    }

    /// An image as the input of an engine: letterboxed for a file, resized and padded for a model.
    pub fn preprocess(&self, sample: Sample) -> Preprocessed {
        match &self.kind {
            Kind::File(opened) => {
                let size = opened.input.size;
                let mut pixels = vec![0.0; 3 * (size[0] * size[1]) as usize];
                let inner = Letterbox { size: size.map(|s| s as usize) }.write(&sample.image, &mut pixels);
                Preprocessed { pixels, padded: size, size: inner.map(|s| s as i64) }
            }
            Kind::Model(model) => {
                let image = model.resize.prepare(sample).image;
                let size = [image.height() as i64, image.width() as i64];
                let padded = size.map(|s| (s + SIZE_MULTIPLE - 1) / SIZE_MULTIPLE * SIZE_MULTIPLE);
                let [h, w] = padded.map(|s| s as usize);
                let mut pixels = vec![0.0; 3 * h * w];
                Normalize::default().write(&image, &mut pixels, h, w);
                Preprocessed { pixels, padded, size }
            }
        }
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
        let spec = ExportSpec { precision: ElementType::F32, batch: BatchSize::Fixed(1), size: padded };
        let built = parts::build(&model, Part::Raw, &spec, Nms::PLAIN, &Metadata(vec![]))?;
        let opened = Arc::new(ExportedDetector::built(&built, model.network.decoder(), &self.classes)?);
        all.insert(padded, opened.clone());
        Ok(opened)
    }
}

/// The engines of one thread.
pub struct ThreadEngines<'a> {
    pool: &'a EnginePool,
    threads: usize,
    kept: Vec<([i64; 2], Box<dyn Engine>)>,
}

impl<'a> ThreadEngines<'a> {
    /// None yet; each will run on `threads` threads.
    pub fn new(pool: &'a EnginePool, threads: usize) -> Self {
        Self { pool, threads, kept: vec![] }
    }

    /// The engine for inputs of a height and width.
    ///
    /// # Errors
    /// The runtime's own.
    pub fn of(&mut self, padded: [i64; 2]) -> Result<&mut Box<dyn Engine>, ExportError> {
        match self.kept.iter().position(|(size, _)| *size == padded) {
            Some(at) => self.kept[..=at].rotate_right(1),
            None => {
                let engine = self.pool.files(padded)?.engine(self.threads, self.pool.runtime)?;
                self.kept.truncate(KEPT - 1);
                self.kept.insert(0, (padded, engine));
            }
        }
        Ok(&mut self.kept[0].1)
    }
}
