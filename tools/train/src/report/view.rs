//! Ground truth and detections of runs that were measured on the same images.

use std::collections::BTreeMap;

use repghost_coco::judge::{compare, diagnose, Change, CompareOptions, Diagnosis};
use repghost_coco::{evaluate, read_detections, Annotation, Detection, Evaluation, IouType};
use repghost_coco::{InstanceMask, MaskShape};
use serde::Serialize;

use super::matching::{box_of, by_image, judge, Counts, Tally, Verdict};
use super::picture;
use super::source::{read_json, RunData};
use crate::compare::class_names;
use crate::config::data_paths::Split;
use crate::config::Task;
use crate::detection::data::{self, SplitData};
use crate::error::TrainError;

/// Detections of an image that the page keeps, best first.
pub const KEPT: usize = 50;

/// Bootstrap samples of a comparison.
const SAMPLES: usize = 400;

/// Runs that were measured on the same images.
#[derive(Clone, Debug, Serialize)]
pub struct View {
    /// Class names, by the numbers that objects and detections carry.
    pub classes: Vec<String>,
    /// Images of the validation set.
    pub total: usize,
    /// Objects in it.
    pub objects: usize,
    /// Its runs.
    pub runs: Vec<RunView>,
    /// The chosen images; the worst come first.
    pub images: Vec<ImageView>,
}

/// What one run did on the images of a view.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    /// Index of the run.
    pub run: usize,
    /// The score threshold with the best F1 over the whole set.
    pub threshold: f64,
    /// Objects found and false alarms in the whole set at the thresholds 0.00, 0.01, … 0.99.
    pub counts: Vec<[usize; 2]>,
    /// The COCO numbers.
    #[serde(skip)]
    pub evaluations: Vec<Evaluation>,
    /// Where it is wrong: boxes, and masks where there are some.
    #[serde(skip)]
    pub diagnoses: Vec<Diagnosis>,
    /// Against the view's first run; `None` for that one.
    #[serde(skip)]
    pub against_first: Option<Change>,
}

/// A chosen image.
#[derive(Clone, Debug, Serialize)]
pub struct ImageView {
    /// Its file name.
    pub name: String,
    /// Width and height in its own pixels, which boxes are in.
    pub size: [u32; 2],
    /// Width and height in the page, which mask runs are in.
    pub page_size: [u32; 2],
    /// The image as a data URI.
    pub source: String,
    /// Whether it is among the worst.
    pub worst: bool,
    /// Its objects.
    pub truth: Vec<Object>,
    /// Detections, a list a run.
    pub found: Vec<Vec<Object>>,
    /// Counts at each run's best threshold, for the table of worst images.
    #[serde(skip)]
    pub counts: Vec<Counts>,
}

/// An object or a detection: box (x, y, width, height), class, score or crowd flag, verdict, mask.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Object {
    #[serde(rename = "b")]
    bbox: [f32; 4],
    #[serde(rename = "c")]
    class: usize,
    /// The score; of an object 1, and 0 for a crowd.
    #[serde(rename = "s")]
    score: f32,
    /// Index of the object that was hit; -1 for a false alarm, -2 where it does not count.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    hit: Option<i64>,
    #[serde(rename = "m", skip_serializing_if = "Vec::is_empty")]
    mask: Vec<u32>,
}

/// A run's detections of all images.
struct Judged {
    detections: Vec<Detection>,
    threshold: f64,
    tally: Tally,
}

/// Views of all runs that have detections. What cannot be shown becomes a note.
pub fn build(runs: &[RunData], images: usize, progress: &mut dyn FnMut(&str), notes: &mut Vec<String>) -> Vec<View> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, run) in runs.iter().enumerate().filter(|(_, r)| r.detailed && r.loaded.experiment.task == Task::Detection) {
        match run.folder.detections().is_file() {
            true => groups.entry(same_data(run)).or_default().push(i),
            false => notes.push(format!("{}: no detections.json yet, so no predictions are shown", run.name)),
        }
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    groups.sort();
    let mut views = Vec::new();
    for group in groups {
        match view(runs, &group, images, progress) {
            Ok(view) => {
                let changed = view.runs.iter().filter_map(|r| changed(&runs[r.run], &r.evaluations));
                notes.extend(changed);
                views.push(view);
            }
            Err(e) => {
                let names: Vec<&str> = group.iter().map(|i| runs[*i].name.as_str()).collect();
                notes.push(format!("{}: predictions are left out: {e}", names.join(", ")));
            }
        }
    }
    views
}

/// A warning where recomputed metrics differ from the recorded ones: the data set has changed since the run.
fn changed(run: &RunData, evaluations: &[Evaluation]) -> Option<String> {
    let noted: serde_json::Value = read_json(&run.folder.metrics())?;
    let differs = |e: &&Evaluation| {
        let noted = noted[e.iou_type.name()]["AP"].as_f64();
        noted.is_some_and(|ap| (ap - e.numbers.ap).abs() > 1e-9)
    };
    evaluations.iter().find(differs).map(|e| {
        format!(
            "{}: {}/AP was {} when the run measured it and is {:.3} on the validation data as it is now, so the data has changed since; \
             curves and overview are of then, predictions and classes of now",
            run.name,
            e.iou_type.name(),
            noted[e.iou_type.name()]["AP"].as_f64().map_or(String::new(), |ap| format!("{ap:.3}")),
            e.numbers.ap
        )
    })
}

/// Runs with the same text here were measured on the same images and classes.
fn same_data(run: &RunData) -> String {
    let d = &run.loaded.experiment.data;
    let shapes = (d.shapes.seed, d.shapes.val_images, &d.shapes.picture);
    format!("{:?} {:?} {:?} {:?} {shapes:?}", class_names(&run.folder, &run.loaded), d.source, d.val, d.on_bad_annotation)
}

fn view(runs: &[RunData], group: &[usize], images: usize, progress: &mut dyn FnMut(&str)) -> Result<View, TrainError> {
    let masks = |i: usize| data::wants_masks(&runs[i].loaded.experiment);
    // Of runs with and without masks, one with masks can read outlines.
    let reader = group.iter().copied().find(|i| masks(*i)).or(group.first().copied()).unwrap_or_default();
    let val = data::open(
        &runs[reader].loaded.experiment,
        Split::Val,
        class_names(&runs[reader].folder, &runs[reader].loaded).as_deref(),
    )?;
    let mut judged = Vec::new();
    let mut views = Vec::new();
    for &run in group {
        progress(&format!("{}: measuring its detections", runs[run].name));
        let detections = read_detections(&runs[run].folder.detections(), &val.dataset)?;
        let mut evaluations = vec![evaluate(&val.dataset, &detections, IouType::Bbox)?];
        if masks(run) {
            evaluations.push(evaluate(&val.dataset, &detections, IouType::Segm)?);
        }
        let tally = tally(&val, &detections);
        let counts = (0..100).map(|i| tally.counts(f64::from(i) / 100.0)).map(|c| [c.found, c.false_alarms]).collect();
        let threshold = tally.best_threshold();
        let types: Vec<IouType> = evaluations.iter().map(|e| e.iou_type).collect();
        let diagnoses = types.iter().map(|&t| diagnose(&val.dataset, &detections, t, None)).collect::<Result<Vec<_>, _>>()?;
        let first = judged.first().map(|first: &Judged| &first.detections);
        let against_first = first.and_then(|first| {
            let options = CompareOptions { iou_type: *types.last()?, samples: SAMPLES };
            compare(&val.dataset, &[first], &[&detections], &options).ok().map(|c| c.ap().clone())
        });
        views.push(RunView { run, threshold, counts, evaluations, diagnoses, against_first });
        judged.push(Judged { detections, threshold, tally });
    }
    let objects = judged.first().map_or(0, |j| j.tally.objects);
    progress("reading images");
    Ok(View {
        classes: val.dataset.classes.names().iter().map(|n| n.to_string()).collect(),
        total: val.dataset.len(),
        objects,
        images: chosen(&val, &judged, images, masks(reader))?,
        runs: views,
    })
}

fn tally(val: &SplitData, detections: &[Detection]) -> Tally {
    let found = by_image(detections);
    let mut tally = Tally::default();
    for (i, image) in val.dataset.images.iter().enumerate() {
        let (truth, found) = (val.dataset.annotations(i), found.get(&image.id).map_or(&[][..], Vec::as_slice));
        tally.add(truth, found, &judge(truth, found));
    }
    tally
}

/// The worst images (lowest F1, mean of the runs, each at its best threshold), then others, evenly spread. With `masks` objects have their
/// outlines.
fn chosen(val: &SplitData, judged: &[Judged], wanted: usize, masks: bool) -> Result<Vec<ImageView>, TrainError> {
    let found: Vec<_> = judged.iter().map(|j| by_image(&j.detections)).collect();
    let of = |run: usize, image: usize| found[run].get(&val.dataset.images[image].id).map_or(&[][..], Vec::as_slice);
    let counts: Vec<Vec<Counts>> = (0..val.dataset.len())
        .map(|i| {
            judged.iter().enumerate().map(|(r, j)| image_counts(val.dataset.annotations(i), of(r, i), j.threshold)).collect()
        })
        .collect();
    let f1 = |i: usize| counts[i].iter().map(Counts::f1).sum::<f64>();
    let errors = |i: usize| counts[i].iter().map(|c| c.false_alarms + c.missed).sum::<usize>();
    let mut order: Vec<usize> = (0..val.dataset.len()).collect();
    order.sort_by(|a, b| f1(*a).total_cmp(&f1(*b)).then(errors(*b).cmp(&errors(*a))));
    let worst: Vec<usize> = order.iter().copied().filter(|i| errors(*i) > 0).take(wanted.div_ceil(2)).collect();
    let rest: Vec<usize> = (0..val.dataset.len()).filter(|i| !worst.contains(i)).collect();
    let spread = rest.len().min(wanted - worst.len());
    let spread = (0..spread).map(|i| rest[i * rest.len() / spread]);
    let images = worst.iter().copied().map(|i| (i, true)).chain(spread.map(|i| (i, false)));
    images
        .map(|(i, worst)| {
            let record = &val.dataset.images[i];
            let (size, truth) = ([record.width, record.height], val.dataset.annotations(i));
            let pixels = val.source.load(i)?.image;
            let source = picture::data_uri(&pixels)
                .map_err(|e| TrainError::Drawing { path: record.file_name.clone().into(), reason: e.to_string() })?;
            let class = |id: i64| val.dataset.classes.iter().position(|c| c.category_id == id).unwrap_or_default();
            Ok(ImageView {
                name: record.file_name.clone(),
                size,
                page_size: picture::page_size(size[0], size[1]),
                source,
                worst,
                truth: truth.iter().map(|t| object(t, class(t.category_id), size, masks)).collect(),
                found: (0..judged.len()).map(|r| detected(truth, of(r, i), &class, size)).collect(),
                counts: counts[i].clone(),
            })
        })
        .collect()
}

fn image_counts(truth: &[Annotation], found: &[&Detection], threshold: f64) -> Counts {
    let mut tally = Tally::default();
    tally.add(truth, found, &judge(truth, found));
    tally.counts(threshold)
}

fn object(t: &Annotation, class: usize, size: [u32; 2], masks: bool) -> Object {
    let shape = if masks { MaskShape::new(&t.segmentation) } else { None };
    let mask = shape.map(|shape| shape.rasterise(size[1], size[0]));
    let score = if t.iscrowd { 0.0 } else { 1.0 };
    Object { bbox: rounded(t.bbox), class, score, hit: None, mask: mask.map_or(vec![], |m| picture::runs(&m, size)) }
}

fn detected(truth: &[Annotation], found: &[&Detection], class: &dyn Fn(i64) -> usize, size: [u32; 2]) -> Vec<Object> {
    let one = |(d, verdict): (&&Detection, Verdict)| Object {
        bbox: rounded(box_of(d)),
        class: class(d.category_id),
        score: (d.score * 1000.0).round() as f32 / 1000.0,
        hit: Some(match verdict {
            Verdict::Hit(i) => i as i64,
            Verdict::FalseAlarm => -1,
            Verdict::Ignored => -2,
        }),
        mask: d.segmentation.as_ref().map_or(vec![], |rle| picture::runs(&InstanceMask::from_rle(rle), size)),
    };
    found.iter().zip(judge(truth, found)).take(KEPT).map(one).collect()
}

fn rounded(bbox: [f64; 4]) -> [f32; 4] {
    bbox.map(|v| (v * 10.0).round() as f32 / 10.0)
}
