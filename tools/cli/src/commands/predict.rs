//! `predict`: boxes, and pictures of them, from image files.

use std::path::PathBuf;

use repghost_export::score;
use repghost_train::bad_input;
use repghost_train::predict::{predict, Request};

use crate::commands::detector_input::{experiment_and_images, Counter};
use crate::commands::runtime::Runtime;
use crate::exit::Outcome;
use crate::interrupt;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a folder:          repghost-det predict runs/mine --weights runs/mine/weights/best.safetensors photos/ --output out/
  some files:        repghost-det predict runs/mine --weights W a.jpg b.png --output out/ --score-threshold 0.5
  fast on a CPU:     repghost-det predict runs/mine --weights W photos/ --output out/ --runtime onnxruntime
  an exported file:  repghost-det predict runs/mine --weights detector.onnx photos/ --output out/
  other image size:  repghost-det predict runs/mine --weights W a.jpg --output out/ data.augment.resize.size=640

OUT/detections.json is a COCO results list with file_name; boxes are x, y, width, height in pixels of the file.";

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file or run folder, `key=value` overrides, images and folders of images.
    #[arg(value_name = "CONFIG|KEY=VALUE|IMAGE|DIR", required = true)]
    items: Vec<String>,

    /// Weights of a detector (in any form), a checkpoint, or a raw or detector file that `export` wrote (FILE.onnx).
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,

    /// What runs it; without it libtorch, and onnxruntime for FILE.onnx. Weights are exported in memory for the latter two.
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,

    /// Folder for detections.json and the pictures.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Leave out detections below. Without it: eval.score_threshold in the file, 0.3 in the pictures.
    #[arg(long, value_name = "T")]
    score_threshold: Option<f64>,
}

/// Runs `predict`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    let (loaded, images) = experiment_and_images(&args.items)?;
    if images.is_empty() {
        return Err(bad_input("no image is named: expected files or folders behind the experiment"));
    }
    let provider = Runtime::provider(args.runtime, &args.weights)?;
    let request = Request { weights: args.weights, images, output: args.output, score_threshold: args.score_threshold };
    let stop = interrupt::flag("stopping");
    let mut shown = Counter::new("predicting", quiet);
    let mut progress = |done, total| shown.tell(done, total);
    let predicted = match provider {
        None => predict(&loaded.experiment, &request, &stop, &mut progress)?,
        Some(provider) => score::predict(&loaded.experiment, &request, provider, &stop, &mut progress)?,
    };
    shown.clear();
    let Some(predicted) = predicted else { return Ok(Outcome::Interrupted) };
    for message in &predicted.unreadable {
        tracing::warn!("{message}");
    }
    println!("{} detections in {} images: {}", predicted.detections, predicted.images, request.output.display());
    Ok(if predicted.unreadable.is_empty() { Outcome::Done } else { Outcome::Failed })
}
