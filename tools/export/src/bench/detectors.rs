//! Whole detectors on images: the network with its post-processing alone, and from the file on disk to boxes in its pixels.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use repghost_coco::Source;
use repghost_train::detection::engine::LibtorchPool;
use repghost_train::detection::infer::in_original_pixels;
use repghost_train::detection::model;
use repghost_train::engine::{EnginePool, Pictures, ThreadEngines};
use repghost_train::{Experiment, TrainError, WeightsFile};
use serde::Serialize;

use super::plan::Form;
use super::stats::Stats;
use crate::engine_pool::{ExportedPool, EXTENSION};
use crate::error::ExportError;
use crate::metadata::{self, Metadata};
use crate::onnx::ElementType;
use crate::runtime::Runtime;

/// The runtime that takes weights as they are.
pub const LIBTORCH: &str = "libtorch";

/// A detector in a runtime.
pub struct Subject {
    /// Name of the file or run.
    pub name: String,
    /// Name of the runtime.
    pub runtime: &'static str,
    /// `fp32`, `fp16`, `int8`.
    pub precision: String,
    /// Unfused or fused.
    pub form: Form,
    pool: Pool,
}

enum Pool {
    /// With the size of the weights file.
    Libtorch(Box<LibtorchPool>, u64),
    Exported(Box<ExportedPool>),
}

impl Subject {
    /// A detector from weights, or from an exported file, whose precision and form are its own.
    ///
    /// # Errors
    /// Files that do not fit; a runtime that is not there.
    pub fn open(
        name: &str,
        e: &Experiment,
        weights: &Path,
        runtime: &'static Runtime,
        precision: ElementType,
        form: Form,
    ) -> Result<Self, ExportError> {
        let half = if precision == ElementType::F16 { "fp16" } else { "fp32" };
        let subject = |pool: Pool| Self { name: name.into(), runtime: runtime.name, precision: half.into(), form, pool };
        if is_exported(weights) {
            let recorded = Metadata::of(&metadata::decode(weights, &metadata::read(weights)?)?);
            let exported = ExportedPool::of_file(e, weights, runtime)?;
            let subject = subject(Pool::Exported(Box::new(exported)));
            let form = if recorded.fused() { Form::Fused } else { Form::Unfused };
            return Ok(Self { precision: recorded.precision().unwrap_or("fp32").into(), form, ..subject });
        }
        let loaded = model::load_or_val_classes(e, WeightsFile::read(weights)?)?;
        if runtime.name != LIBTORCH {
            let exported = ExportedPool::of_detector_as(e, loaded, runtime, precision, form == Form::Fused)?;
            return Ok(subject(Pool::Exported(Box::new(exported))));
        }
        let size = std::fs::metadata(weights).map_err(ExportError::io(weights))?.len();
        let pool = match form {
            Form::Fused => LibtorchPool::new(e, loaded),
            Form::Unfused => LibtorchPool::resized(e, loaded.detector, loaded.classes),
        };
        Ok(subject(Pool::Libtorch(Box::new(pool), size)))
    }

    /// What runs it.
    pub fn pool(&self) -> &dyn EnginePool {
        match &self.pool {
            Pool::Libtorch(pool, _) => pool.as_ref(),
            Pool::Exported(pool) => pool.as_ref(),
        }
    }

    /// Size of the weights file, or of the exported network, in bytes.
    pub fn bytes(&self) -> u64 {
        match &self.pool {
            Pool::Libtorch(_, bytes) => *bytes,
            Pool::Exported(pool) => pool.bytes(),
        }
    }
}

/// True of a file that `export` wrote.
pub fn is_exported(path: &Path) -> bool {
    path.extension().is_some_and(|x| x == EXTENSION)
}

/// How often, and on how many threads.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Timed images of each subject, over all rounds.
    pub runs: usize,
    /// Rounds in which subjects take turns.
    pub rounds: usize,
    /// Images before the timed ones of each round.
    pub warm_up: usize,
    /// Threads of the runtime.
    pub threads: usize,
}

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct DetectorRow {
    /// Name of the file or run.
    pub name: String,
    /// Runtime.
    pub runtime: &'static str,
    /// Precision.
    pub precision: String,
    /// Unfused or fused.
    pub form: Form,
    /// Network and post-processing, milliseconds per image.
    pub network: Stats,
    /// With reading and decoding the file, resizing, and boxes in the file's pixels.
    pub end_to_end: Stats,
    /// Size in bytes.
    pub bytes: u64,
    /// Average precision on the validation data, where it was measured: of masks where there are some, else of boxes.
    #[serde(rename = "AP")]
    pub ap: Option<f64>,
}

/// Times subjects on images one by one, by turns. `None` when `stop` was raised.
///
/// # Errors
/// Images that cannot be read; the runtimes'.
pub fn measure(
    subjects: &[Subject],
    source: &dyn Source,
    timing: Timing,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Vec<DetectorRow>>, ExportError> {
    let rounds = timing.rounds.clamp(1, timing.runs.max(1));
    let mut times: Vec<(Vec<f64>, Vec<f64>)> = vec![(vec![], vec![]); subjects.len()];
    for round in 0..rounds {
        let timed = timing.runs * (round + 1) / rounds - timing.runs * round / rounds;
        for k in 0..subjects.len() {
            // Every round starts with another one.
            let i = (k + round) % subjects.len();
            let pool = subjects[i].pool();
            let mut engines = ThreadEngines::new(pool, timing.threads);
            for n in 0..timing.warm_up + timed {
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                let (network, whole) = one(pool, &mut engines, source, n % source.len().max(1))?;
                if n >= timing.warm_up {
                    times[i].0.push(network);
                    times[i].1.push(whole);
                }
            }
            progress(round * subjects.len() + k + 1, rounds * subjects.len());
        }
    }
    let row = |(subject, (network, whole)): (&Subject, &(Vec<f64>, Vec<f64>))| {
        Some(DetectorRow {
            name: subject.name.clone(),
            runtime: subject.runtime,
            precision: subject.precision.clone(),
            form: subject.form,
            network: Stats::of(network)?,
            end_to_end: Stats::of(whole)?,
            bytes: subject.bytes(),
            ap: None,
        })
    };
    Ok(Some(subjects.iter().zip(&times).filter_map(row).collect()))
}

/// Milliseconds of the network, and of everything, on an image.
fn one(pool: &dyn EnginePool, engines: &mut ThreadEngines, source: &dyn Source, index: usize) -> Result<(f64, f64), TrainError> {
    let started = Instant::now();
    let sample = source.load(index)?;
    let target = sample.target.clone();
    let input = pool.preprocess(sample);
    let n = if pool.batch_is_fixed() { pool.batch().max(1) } else { 1 };
    let mut pixels = input.pixels;
    let length = pixels.len();
    pixels.resize(length * n, 0.0);
    let mut sizes = vec![input.size];
    sizes.resize(n, [1, 1]);
    let shape = [n as i64, 3, input.padded[0], input.padded[1]];
    let engine = engines.get(input.padded)?;
    let begun = Instant::now();
    let found = engine.detect(Pictures { pixels: &pixels, shape, sizes: &sizes })?;
    let network = begun.elapsed();
    if let Some(first) = found.first() {
        let size = input.size.map(|s| s as usize);
        std::hint::black_box(in_original_pixels(first, size, &target, pool.classes()));
    }
    Ok((network.as_secs_f64() * 1e3, started.elapsed().as_secs_f64() * 1e3))
}
