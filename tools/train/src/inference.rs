//! Images through a detector, whatever the runtime: threads read, preprocess and run images of their own, so that decoding, inference and
//! drawing overlap.
//!
//! Images run together only where their padded sizes are equal. So what is found in an image doesn't depend on its neighbours: in a batch that
//! was padded to the largest, layers that average over the map (squeeze-and-excitation, group norm) would average over more padding.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use repghost_coco::{RgbImage, Sample, SampleTarget, Source};
use repghost_distributed::Group;
use repghost_heads::HostDetections;

use crate::chosen_thresholds::Cutoffs;
use crate::detection::infer::{in_original_pixels, ImageDetections};
use crate::engine::{EnginePool, Pictures, Preprocessed, ThreadEngines};
use crate::error::TrainError;
use crate::model::Class;
use crate::together::gathered;

/// Images, and the detector that they go through.
pub struct Job<'a> {
    /// Images.
    pub source: &'a dyn Source,
    /// The detector.
    pub pool: &'a dyn EnginePool,
    /// Classes by label, with the category ids of the detections.
    pub classes: &'a [Class],
    /// Detections are kept above this score.
    pub score_threshold: f64,
    /// Score thresholds by class that apply besides.
    pub cutoffs: Cutoffs,
    /// Leave out images that cannot be read, instead of stopping.
    pub skip_unreadable: bool,
    /// Cores to use; all where unset.
    pub threads: Option<usize>,
    /// The processes that share the images, each a contiguous part; all of them return all detections.
    pub group: Option<&'a Group>,
}

/// Detections of a job.
#[derive(Debug, Default)]
pub struct Inferred {
    /// Detections by image, in the source's order; images that could not be read are left out.
    pub images: Vec<ImageDetections>,
    /// Messages about images that could not be read.
    pub unreadable: Vec<String>,
}

/// Called by the working threads with each image, once its detections are there: index, image, detections.
pub type Each<'a> = &'a (dyn Fn(usize, RgbImage, &ImageDetections) -> Result<(), TrainError> + Sync);

/// Runs the job. `None` where `stop` was raised on the way, in any process. `progress` is called with images done and images in all, of this
/// process. With `each`, decoded
/// images are kept until it was called.
///
/// # Errors
/// The first of any thread.
pub fn run(
    job: &Job,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
    each: Option<Each>,
) -> Result<Option<Inferred>, TrainError> {
    let Some(group) = job.group else { return part(job, 0..job.source.len(), stop, progress, each) };
    let own = part(job, group.range(job.source.len()), stop, progress, each)?;
    let (images, unreadable) = own.map(|own| (own.images, own.unreadable)).unzip();
    let (images, unreadable) = (gathered(group, images)?, gathered(group, unreadable)?);
    Ok(images.zip(unreadable).map(|(images, unreadable)| Inferred { images, unreadable }))
}

/// The images of a range.
fn part(
    job: &Job,
    range: Range<usize>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
    each: Option<Each>,
) -> Result<Option<Inferred>, TrainError> {
    let total = range.len();
    let batch = job.pool.batch().max(1);
    let cores = job.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let workers = job.pool.threads(cores).min(total.div_ceil(batch)).max(1);
    let next = AtomicUsize::new(range.start);
    let failed = AtomicBool::new(false);
    let (sender, receiver) = mpsc::channel();
    let mut images: Vec<Option<ImageDetections>> = (0..total).map(|_| None).collect();
    let mut unreadable = vec![];
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let sender = sender.clone();
            let (next, failed, end) = (&next, &failed, range.end);
            scope.spawn(move || {
                let mut engines = ThreadEngines::new(job.pool, (cores / workers).max(1));
                while !failed.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                    let start = next.fetch_add(batch, Ordering::Relaxed);
                    if start >= end {
                        return;
                    }
                    let result = some(job, &mut engines, start..(start + batch).min(end), each);
                    if sender.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut done = 0;
        for result in receiver {
            for (index, image) in result.inspect_err(|_| failed.store(true, Ordering::Relaxed))? {
                done += 1;
                match image {
                    Ok(detections) => images[index - range.start] = Some(detections),
                    Err(message) => unreadable.push((index, message)),
                }
            }
            progress(done, total);
        }
        Ok::<(), TrainError>(())
    })?;
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    // Threads finish in any order; messages come in that of the images.
    unreadable.sort();
    let unreadable = unreadable.into_iter().map(|(_, message)| message).collect();
    Ok(Some(Inferred { images: images.into_iter().flatten().collect(), unreadable }))
}

/// An image that was read.
struct Read {
    index: usize,
    image: Option<RgbImage>,
    target: SampleTarget,
    input: Preprocessed,
}

type Results = Vec<(usize, Result<ImageDetections, String>)>;

/// Some images, those of equal padded size together.
fn some(job: &Job, engines: &mut ThreadEngines, range: Range<usize>, each: Option<Each>) -> Result<Results, TrainError> {
    let mut results: Results = vec![];
    let mut groups: Vec<Vec<Read>> = vec![];
    for index in range {
        match job.source.load(index) {
            Ok(sample) => {
                let (image, target) = (each.map(|_| sample.image.clone()), sample.target.clone());
                let read = Read { index, image, target, input: job.pool.preprocess(sample) };
                match groups.iter_mut().find(|group| group[0].input.padded == read.input.padded) {
                    Some(group) => group.push(read),
                    None => groups.push(vec![read]),
                }
            }
            Err(e) if job.skip_unreadable && e.is_unreadable_image() => results.push((index, Err(e.to_string()))),
            Err(e) => return Err(e.into()),
        }
    }
    for mut group in groups {
        let all = detect(job.pool, engines, &mut group)?;
        for (read, detections) in group.into_iter().zip(all) {
            let size = read.input.size.map(|s| s as usize);
            let mut detections = in_original_pixels(&detections, size, &read.target, job.classes);
            detections.objects.retain(|d| d.score > job.score_threshold && job.cutoffs.keep(d));
            if let (Some(each), Some(image)) = (each, read.image) {
                each(read.index, image, &detections)?;
            }
            results.push((read.index, Ok(detections)));
        }
    }
    Ok(results)
}

/// Detections of one image, all that the detector gives, in pixels of the image.
///
/// # Errors
/// The runtime's.
pub fn detect_one(pool: &dyn EnginePool, engines: &mut ThreadEngines, sample: Sample) -> Result<ImageDetections, TrainError> {
    let target = sample.target.clone();
    let mut read = [Read { index: 0, image: None, target: target.clone(), input: pool.preprocess(sample) }];
    let all = detect(pool, engines, &mut read)?;
    let size = read[0].input.size.map(|s| s as usize);
    Ok(in_original_pixels(&all.into_iter().next().unwrap_or_default(), size, &target, pool.classes()))
}

/// Detections of images of one padded size.
fn detect(pool: &dyn EnginePool, engines: &mut ThreadEngines, group: &mut [Read]) -> Result<Vec<HostDetections>, TrainError> {
    let padded = group[0].input.padded;
    let n = if pool.batch_is_fixed() { pool.batch().max(group.len()) } else { group.len() };
    let mut sizes: Vec<[i64; 2]> = group.iter().map(|read| read.input.size).collect();
    sizes.resize(n, [1, 1]);
    // A single image needs no copy.
    let pixels = match (group, n) {
        ([only], 1) => std::mem::take(&mut only.input.pixels),
        (group, _) => {
            let length = group[0].input.pixels.len();
            let mut all = Vec::with_capacity(n * length);
            group.iter().for_each(|read| all.extend_from_slice(&read.input.pixels));
            all.resize(n * length, 0.0);
            all
        }
    };
    let shape = [n as i64, 3, padded[0], padded[1]];
    engines.get(padded)?.detect(Pictures { pixels: &pixels, shape, sizes: &sizes })
}
