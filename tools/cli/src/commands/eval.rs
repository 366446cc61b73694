//! `eval`: the COCO numbers of detections that are already in a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use repghost_coco::metrics::write_metrics;
use repghost_coco::{evaluate, read_detections, Dataset, DatasetOptions, IouType};
use repghost_train::evaluate::evaluate_weights;
use repghost_train::MarkBadInput;

use crate::commands::data::mark;
use crate::commands::detector_input::{self, Counter};
use crate::exit::Outcome;
use crate::interrupt;
use crate::tables;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  trained weights:    repghost-det eval runs/mine --weights runs/mine/weights/best.safetensors --output eval/
  on other data:      repghost-det eval runs/mine --weights W data.val.images=DIR data.val.annotations=FILE
  boxes:              repghost-det eval --annotations instances_val.json --detections detections.json
  masks:              repghost-det eval --annotations instances_val.json --detections detections.json --iou-type segm
  both, as a file:    repghost-det eval --annotations instances_val.json --detections detections.json --iou-type bbox,segm --output eval/
  some classes only:  repghost-det eval --annotations instances_val.json --detections detections.json --classes person,dog

The numbers are those of pycocotools to the ninth digit; -1 stands where there is nothing to measure.";

/// Arguments of `eval`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file, or a run folder, and `key=value` overrides: with --weights, its validation data is measured.
    #[arg(value_name = "CONFIG|KEY=VALUE", requires = "weights")]
    items: Vec<String>,

    /// Weights of a detector (in any form), or a checkpoint.
    #[arg(long, value_name = "FILE", requires = "items", conflicts_with_all = ["annotations", "detections", "iou_type", "classes"])]
    weights: Option<PathBuf>,

    /// COCO JSON file with the truth.
    #[arg(long, value_name = "FILE", required_unless_present = "weights", requires = "detections")]
    annotations: Option<PathBuf>,

    /// COCO results: a JSON list of image_id, category_id, bbox or segmentation, score.
    #[arg(long, value_name = "FILE", requires = "annotations")]
    detections: Option<PathBuf>,

    /// What is compared.
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', value_parser = ["bbox", "segm"], default_value = "bbox")]
    iou_type: Vec<String>,

    /// Names of the classes to evaluate; all where this is left out.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    classes: Option<Vec<String>>,

    /// Folder for metrics.json and, with --weights, detections.json and precision-recall plots.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// Leave the table of classes out.
    #[arg(long)]
    summary: bool,
}

/// Runs `eval`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    if let Some(weights) = &args.weights {
        return measure(&args, weights, quiet);
    }
    let (Some(annotations), Some(detections)) = (&args.annotations, &args.detections) else {
        return Err(repghost_train::bad_input("eval needs --annotations FILE and --detections FILE"));
    };
    let types: Vec<IouType> = [IouType::Bbox, IouType::Segm]
        .into_iter()
        .filter(|iou_type| args.iou_type.iter().any(|name| name == iou_type.name()))
        .collect();
    let options = DatasetOptions {
        classes: args.classes.clone(),
        segmentations: types.contains(&IouType::Segm),
        ..DatasetOptions::default()
    };
    let truth = mark(Dataset::load(annotations, &options))?;
    let found = mark(read_detections(detections, &truth))?;
    if found.is_empty() {
        tracing::warn!("{}: no detections of the evaluated classes; the numbers are zeros", detections.display());
    }
    let evaluations =
        types.into_iter().map(|iou_type| evaluate(&truth, &found, iou_type)).collect::<Result<Vec<_>, _>>().bad_input()?;
    let mut text = String::new();
    if !args.summary {
        for evaluation in &evaluations {
            text.push_str(&tables::classes(evaluation));
            text.push('\n');
        }
    }
    text.push_str(&tables::numbers(&evaluations));
    if let Some(folder) = &args.output {
        let path = folder.join("metrics.json");
        write_metrics(&path, &evaluations).map_err(|error| anyhow::anyhow!("{}: cannot be written: {error}", path.display()))?;
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

/// Runs a detector over the validation data of an experiment.
fn measure(args: &Args, weights: &Path, quiet: bool) -> anyhow::Result<Outcome> {
    let loaded = detector_input::experiment(&args.items)?;
    let stop = interrupt::flag("stopping");
    let mut shown = Counter::new("evaluating", quiet);
    let measured = evaluate_weights(&loaded.experiment, weights, &stop, &mut |done, total| shown.tell(done, total))?;
    shown.clear();
    let Some(measured) = measured else { return Ok(Outcome::Interrupted) };
    let mut text = String::new();
    for evaluation in measured.evaluations.iter().filter(|_| !args.summary) {
        text.push_str(&tables::classes(evaluation));
        text.push('\n');
    }
    text.push_str(&tables::numbers(&measured.evaluations));
    if let Some(folder) = &args.output {
        measured.write(folder)?;
        measured.plot(folder)?;
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}
