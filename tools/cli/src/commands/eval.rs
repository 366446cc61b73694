//! `eval`: the COCO numbers of detections that are already in a file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use repghost_train::evaluate::evaluate_weights;

use crate::commands::detector_input::{self, Counter};
use crate::eval_files::{self, Failure};
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
    #[arg(long, value_name = "FILE", requires = "items", required_unless_present = "annotations", conflicts_with_all = ["annotations", "detections", "iou_type", "classes"])]
    weights: Option<PathBuf>,

    /// The form without a network.
    #[command(flatten)]
    files: eval_files::Args,
}

/// Runs `eval`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    if let Some(weights) = &args.weights {
        return measure(&args, weights, quiet);
    }
    let text = eval_files::run(&args.files, &mut |text| tracing::warn!("{text}")).map_err(|failure| match failure {
        Failure::Input(text) => repghost_train::bad_input(text),
        Failure::Write(_) => failure.into(),
    })?;
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
    for evaluation in measured.evaluations.iter().filter(|_| !args.files.summary) {
        text.push_str(&tables::classes(evaluation));
        text.push('\n');
    }
    text.push_str(&tables::numbers(&measured.evaluations));
    if let Some(folder) = &args.files.output {
        measured.write(folder)?;
        measured.plot(folder)?;
    }
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}
