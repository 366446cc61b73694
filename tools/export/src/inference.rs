//! Images through a detector on all cores: each thread decodes, runs and hands on whole images of its own, so that decoding, inference and
//! drawing overlap without queues between them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use repghost_coco::{RgbImage, Source};
use repghost_train::detection::infer::{found, Found};
use repghost_train::detection::model::Class;

use crate::engine::Pictures;
use crate::engine_pool::{EnginePool, Preprocessed, ThreadEngines};
use crate::error::ExportError;

/// What is to be done.
pub struct Job<'a> {
    /// Images.
    pub source: &'a dyn Source,
    /// Engines.
    pub pool: &'a EnginePool,
    /// Classes by label, with the ids that detections are to carry.
    pub classes: &'a [Class],
    /// Detections below are left out.
    pub least_score: f64,
    /// Leave out images that cannot be read, instead of stopping.
    pub skip_unreadable: bool,
    /// Threads; without a number all cores.
    pub threads: Option<usize>,
}

/// Result of a run.
#[derive(Debug, Default)]
pub struct Done {
    /// By image, in the source's order; those that could not be read are left out.
    pub found: Vec<Found>,
    /// Messages of those.
    pub unreadable: Vec<String>,
}

/// What a thread does with each image, once it has found something in it: index, image, detections.
pub type Each<'a> = &'a (dyn Fn(usize, RgbImage, &Found) -> Result<(), ExportError> + Sync);

/// Images that are read for one run of the engine.
struct Loaded {
    index: usize,
    image: Option<RgbImage>,
    target: repghost_coco::SampleTarget,
    preprocessed: Preprocessed,
}

/// Runs the job. `None` when `stop` was raised on the way. With `each`, images are kept until they are handed on.
///
/// # Errors
/// The first of any thread.
pub fn run(
    job: &Job,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
    each: Option<Each>,
) -> Result<Option<Done>, ExportError> {
    let total = job.source.len();
    let cores = job.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let workers = cores.min(total.div_ceil(job.pool.batch())).max(1);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<Found>> = (0..total).map(|_| None).collect();
    let mut done = Done::default();
    let outcome = std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (next, failed) = (&next, &failed);
            scope.spawn(move || {
                let mut engines = ThreadEngines::new(job.pool, (cores / workers).max(1));
                while !failed.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                    let start = next.fetch_add(job.pool.batch(), Ordering::Relaxed);
                    if start >= total {
                        return;
                    }
                    let end = (start + job.pool.batch()).min(total);
                    let result = some(job, &mut engines, start..end, each);
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut counted = 0;
        for result in receiver {
            match result {
                Ok(images) => {
                    for (index, image) in images {
                        counted += 1;
                        match image {
                            Ok(found) => results[index] = Some(found),
                            Err(message) => done.unreadable.push(message),
                        }
                    }
                    progress(counted, total);
                }
                Err(e) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err(e);
                }
            }
        }
        Ok(())
    });
    outcome?;
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    done.found = results.into_iter().flatten().collect();
    Ok(Some(done))
}

type Images = Vec<(usize, Result<Found, String>)>;

/// Some images in one run of the engine.
fn some(
    job: &Job,
    engines: &mut ThreadEngines,
    range: std::ops::Range<usize>,
    each: Option<Each>,
) -> Result<Images, ExportError> {
    let mut images: Images = vec![];
    let mut loaded: Vec<Loaded> = vec![];
    for index in range {
        match job.source.load(index) {
            Ok(sample) => {
                let image = each.map(|_| sample.image.clone());
                let target = sample.target.clone();
                loaded.push(Loaded { index, image, target, preprocessed: job.pool.preprocess(sample) });
            }
            Err(e) if job.skip_unreadable && e.is_unreadable_image() => images.push((index, Err(e.to_string()))),
            Err(e) => return Err(e.into()),
        }
    }
    let Some(first) = loaded.first() else { return Ok(images) };
    let padded = first.preprocessed.padded;
    let n = job.pool.batch();
    // A file of a fixed batch wants all of it: zeros fill it up.
    let mut sizes: Vec<[i64; 2]> = loaded.iter().map(|l| l.preprocessed.size).collect();
    sizes.resize(n, [1, 1]);
    let joined: Vec<f32>;
    let pixels: &[f32] = if n == 1 {
        &first.preprocessed.pixels
    } else {
        let mut all = Vec::with_capacity(n * first.preprocessed.pixels.len());
        loaded.iter().for_each(|l| all.extend_from_slice(&l.preprocessed.pixels));
        all.resize(n * first.preprocessed.pixels.len(), 0.0);
        joined = all;
        &joined
    };
    let shape = [n as i64, 3, padded[0], padded[1]];
    let plain = engines.of(padded)?.detect(Pictures { pixels, shape, sizes: &sizes })?;
    for (l, plain) in loaded.into_iter().zip(plain) {
        let mut found = found(&plain, l.preprocessed.size.map(|s| s as usize), &l.target, job.classes);
        found.detections.retain(|d| d.score > job.least_score);
        if let (Some(each), Some(image)) = (each, l.image) {
            each(l.index, image, &found)?;
        }
        images.push((l.index, Ok(found)));
    }
    Ok(images)
}
