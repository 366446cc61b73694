//! `predict`: boxes drawn on image files, or classes of image files.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use repghost_export::runtime::Runtime;
use repghost_export::score;
use repghost_train::classification;
use repghost_train::config::{Experiment, Task};
use repghost_train::predict::{predict, Request};

use crate::bad_input::bad_input;
use crate::commands::detector_input::{experiment_and_images, Counter};
use crate::commands::device::DeviceArgs;
use crate::commands::runtime;
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
  a classifier:      repghost-det predict experiments/imagenet/repghostnet_1.0x.yaml --weights W photos/ --output out/

Of a detector, OUT/detections.json is a COCO results list with file_name; boxes are x, y, width, height in pixels of the file.
Of a classifier, OUT/predictions.json lists each file's most probable classes.";

/// Arguments of `predict`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file or run folder, `key=value` overrides, images and folders of images.
    #[arg(value_name = "CONFIG|KEY=VALUE|IMAGE|DIR", required = true)]
    items: Vec<String>,

    /// Weights of a detector or classifier (in any form), a checkpoint, or a raw or detector file that `export` wrote (FILE.onnx).
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,

    /// Runtime; by default libtorch, and onnxruntime for FILE.onnx. All but libtorch run the exported network.
    #[arg(long, value_parser = runtime::parser())]
    runtime: Option<&'static Runtime>,

    /// Folder for detections.json and the pictures, or for predictions.json.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Leave out detections below. Without it: eval.score_threshold in the file, 0.3 in the pictures.
    #[arg(long, value_name = "T")]
    score_threshold: Option<f64>,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs `predict`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    let (loaded, images) = experiment_and_images(&args.device.added_to(&args.items))?;
    if images.is_empty() {
        return Err(bad_input("no image is named: expected files or folders behind the experiment"));
    }
    if loaded.experiment.task == Task::Classification {
        if args.score_threshold.is_some() {
            return Err(bad_input("--score-threshold applies to detectors; a classifier always predicts one class per image"));
        }
        if args.runtime.is_some() {
            return Err(bad_input("--runtime is for detectors; a classifier runs on libtorch here"));
        }
        return classify(&loaded.experiment, &args.weights, &images, &args.output, quiet);
    }
    let provider = runtime::choose(args.runtime, &args.weights)?;
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

/// Predicts the class of each image.
fn classify(e: &Experiment, weights: &Path, images: &[PathBuf], output: &Path, quiet: bool) -> anyhow::Result<Outcome> {
    let stop = interrupt::flag("stopping");
    let mut shown = Counter::new("predicting", quiet);
    let predicted =
        classification::predict::predict(e, weights, images, output, &stop, &mut |done, total| shown.tell(done, total))?;
    shown.clear();
    let Some(predicted) = predicted else { return Ok(Outcome::Interrupted) };
    for message in &predicted.unreadable {
        tracing::warn!("{message}");
    }
    const SHOWN: usize = 20;
    let mut out = io::stdout();
    for p in predicted.predictions.iter().take(SHOWN) {
        writeln!(out, "{}  {}  {:.4}", p.file_name, p.class, p.probability)?;
    }
    writeln!(out, "{} images: {}", predicted.predictions.len(), output.join("predictions.json").display())?;
    Ok(if predicted.unreadable.is_empty() { Outcome::Done } else { Outcome::Failed })
}
