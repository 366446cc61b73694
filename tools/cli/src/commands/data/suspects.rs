//! `data suspects`: labels that confident detections contradict.

use std::io::Write;
use std::path::PathBuf;

use repghost_coco::files::write_picture;
use repghost_coco::judge::{suspect_sheet, suspects, Suspect, Suspicion};
use repghost_coco::{read_detections, Dataset, DatasetOptions, Place};
use repghost_train::run::folder::write_json;
use repghost_train::TrainError;

use crate::bad_input::{bad_input, MarkBadInput};
use crate::exit::Outcome;
use crate::printable::Out;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a list:                repghost-det data suspects --annotations instances_train.json --detections detections.json
  with pictures:         repghost-det data suspects --annotations instances_train.json --detections detections.json --images train/ --output suspects/
  only the surest:       repghost-det data suspects --annotations instances_train.json --detections detections.json --score-threshold 0.8

Detections should come from a detector that did not train on these very labels, or that saw each only a few times. The list is ranked by
the score of the detection that contradicts; what it names are candidates for a look, not errors.";

/// Arguments of `data suspects`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Labels: COCO JSON, or another format that `data check` reads.
    #[arg(long, value_name = "FILE|DIR")]
    annotations: PathBuf,

    /// COCO results: a JSON list of image_id, category_id, bbox, score.
    #[arg(long, value_name = "FILE")]
    detections: PathBuf,

    /// Image folder, for the contact sheet.
    #[arg(long, value_name = "DIR", requires = "output")]
    images: Option<PathBuf>,

    /// Folder for suspects.json and, with --images, suspects.png.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Detections below this score are no evidence.
    #[arg(long, value_name = "T", default_value_t = 0.5)]
    score_threshold: f64,

    /// Suspects that are printed and drawn.
    #[arg(long, value_name = "N", default_value_t = 24)]
    top: usize,
}

/// Runs `data suspects`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    if !(0.0..=1.0).contains(&args.score_threshold) {
        return Err(bad_input(format!("--score-threshold: expected a number from 0 to 1, found {}", args.score_threshold)));
    }
    if let Some(folder) = args.images.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(bad_input(format!("{}: is no folder of images", folder.display())));
    }
    let place = Place { annotations: &args.annotations, images: args.images.as_deref(), split: None };
    let options = DatasetOptions { segmentations: false, ..DatasetOptions::default() };
    let (truth, images) = Dataset::open(&place, &options)?;
    let detections = read_detections(&args.detections, &truth)?;
    let found = suspects(&truth, &detections, args.score_threshold).bad_input()?;
    let mut out = Out;
    for (n, suspect) in found.iter().take(args.top).enumerate() {
        writeln!(out, "{:>4}  {}", n + 1, line(suspect))?;
    }
    if found.len() > args.top {
        writeln!(out, "   … {} more (--top lists more, --output all)", found.len() - args.top)?;
    }
    writeln!(out, "{}", summary(&found, &truth))?;
    let Some(folder) = &args.output else { return Ok(Outcome::Done) };
    std::fs::create_dir_all(folder).map_err(TrainError::io(folder))?;
    let list = folder.join("suspects.json");
    write_json(&list, &found)?;
    writeln!(out, "wrote {}", list.display())?;
    if let (Some(_), Some(images)) = (&args.images, images) {
        let shown = &found[..found.len().min(args.top)];
        let sheet = suspect_sheet(&truth, &images, shown)?;
        let path = folder.join("suspects.png");
        write_picture(&path, &sheet).map_err(TrainError::io(&path))?;
        writeln!(out, "wrote {}", path.display())?;
    }
    Ok(Outcome::Done)
}

fn line(s: &Suspect) -> String {
    let what = match (&s.suspicion, &s.labelled) {
        (Suspicion::WrongClass, Some(labelled)) => format!("labelled {labelled}, detected {}", s.detected),
        (Suspicion::BadlyPlaced, _) => format!("{}, IoU {:.2} with the label", s.detected, s.iou),
        _ => s.detected.clone(),
    };
    let [x, y, w, h] = s.detected_box;
    let label = s.annotation_id.map_or(String::new(), |id| format!(", annotation {id}"));
    format!(
        "{:.3}  {:<13} {what}  at {x:.0},{y:.0} {w:.0}x{h:.0} in {} (image {}{label})",
        s.score,
        s.suspicion.name(),
        s.file_name,
        s.image_id
    )
}

fn summary(found: &[Suspect], truth: &Dataset) -> String {
    let count = |kind: Suspicion| found.iter().filter(|s| s.suspicion == kind).count();
    let objects: usize = (0..truth.len()).map(|i| truth.annotations(i).len()).sum();
    format!(
        "{} suspects beside {objects} labels in {} images: {} missing, {} of another class, {} badly placed",
        found.len(),
        truth.len(),
        count(Suspicion::Missing),
        count(Suspicion::WrongClass),
        count(Suspicion::BadlyPlaced)
    )
}
