//! `eval` and `predict` in another runtime than libtorch: the same data, evaluator and drawings.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use repghost_train::config::data_paths::Split;
use repghost_train::detection::data::{self, SplitData};
use repghost_train::detection::model;
use repghost_train::evaluate::Measured;
use repghost_train::images::{FoundImages, ImageFiles};
use repghost_train::predict::{Album, Predicted, Request};
use repghost_train::Experiment;

use crate::engine_pool::EnginePool;
use crate::error::ExportError;
use crate::inference::{run, Job};
use crate::runtime::Runtime;

/// Measures weights or an exported file on the experiment's validation data. `None` when `stop` was raised.
///
/// # Errors
/// Files that do not fit, data that cannot be read.
pub fn evaluate(
    e: &Experiment,
    weights: &Path,
    runtime: &'static Runtime,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Measured>, ExportError> {
    let pool = EnginePool::open(e, weights, runtime)?;
    let names: Vec<String> = pool.classes.iter().map(|c| c.name.clone()).collect();
    measure(e, &pool, &data::open(e, Split::Val, Some(&names))?, stop, progress)
}

/// Measures what a pool's engines find on validation data whose labels are those of the model. `None` when `stop` was raised.
///
/// # Errors
/// Images that cannot be read; the runtime's own.
pub fn measure(
    e: &Experiment,
    pool: &EnginePool,
    val: &SplitData,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Measured>, ExportError> {
    let classes = model::classes_of(&val.dataset);
    let job = Job {
        source: val.source.as_ref(),
        pool,
        classes: &classes,
        least_score: e.eval.score_threshold,
        skip_unreadable: false,
        threads: e.train.threads,
    };
    let Some(done) = run(&job, stop, progress, None)? else { return Ok(None) };
    let detections = done.found.into_iter().flat_map(|f| f.detections).collect();
    Ok(Some(Measured::new(&val.dataset, detections, data::wants_masks(e))?))
}

/// Predicts, and writes `detections.json` and a picture for each image. `None` when `stop` was raised.
///
/// # Errors
/// Files that do not fit, a disk that is full.
pub fn predict(
    e: &Experiment,
    request: &Request,
    runtime: &'static Runtime,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Predicted>, ExportError> {
    let paths = FoundImages::find(&request.images, false)?.paths;
    let e = request.applied(e)?;
    let pool = EnginePool::open(&e, &request.weights, runtime)?;
    let decode = e.data.decode();
    let source = ImageFiles::new(paths.clone(), decode);
    let album = Album::new(request, &paths, &pool.classes)?;
    let job = Job {
        source: &source,
        pool: &pool,
        classes: &pool.classes,
        least_score: e.eval.score_threshold,
        skip_unreadable: true,
        threads: e.train.threads,
    };
    let draw = |i: usize, image, found: &_| Ok(album.draw(i, image, found)?);
    let Some(done) = run(&job, stop, progress, Some(&draw))? else { return Ok(None) };
    let detections = album.list(&done.found)?;
    Ok(Some(Predicted { images: done.found.len(), detections, unreadable: done.unreadable }))
}
