//! `export`: a trained model as a file that other runtimes take, checked before it is kept.

use std::path::PathBuf;

use repghost_export::engine_pool::EXTENSION;
use repghost_export::export::{export, ExportOptions};
use repghost_export::onnx::suppress::ROUNDS;
use repghost_export::onnx::{ElementType, Nms};
use repghost_export::spec::{BatchSize, Format, Part};
use repghost_export::triton;
use repghost_train::chosen_thresholds;

use crate::bad_input::bad_input;
use crate::commands::device::DeviceArgs;
use crate::commands::model_args::{ModelArgs, ModelInput};
use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  image in, boxes out, for TensorRT:  repghost-det export runs/mine --weights W --part detector --size 320,320 --output det.onnx
  half precision, any batch:          repghost-det export runs/mine --weights W --part raw --precision fp16 --batch dynamic --size 640,640 --output raw.onnx
  features for a head of your own:    repghost-det export runs/mine --weights W --part backbone --size 640,640 --output body.onnx
  int8, change of AP printed:         repghost-det export runs/mine --weights W --part raw --precision int8 --size 320,320 --output int8.onnx
  for PyTorch:                        repghost-det export runs/mine --weights W --part raw --format torchscript --size 640,640 --output raw.pt
  an image classifier:                repghost-det export experiments/imagenet/repghostnet_1.0x.yaml --weights W --part classifier --size 224,224 --output cls.onnx

Every file is run at once in onnxruntime, on random and on real images (those named behind CONFIG, or the validation data, or built-in
pictures), and compared with the model; the differences are printed, and a file beyond tolerance is not kept.
'raw' writes OUTPUT.json beside it: anchors, box coder, normalisation, classes. Mask R-CNN's raw part is three files: OUTPUT.onnx,
OUTPUT.boxes.onnx, OUTPUT.masks.onnx.";

/// Arguments of `export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// What becomes a file.
    #[arg(long, value_enum)]
    part: PartName,

    /// Kind of file. TorchScript takes any batch and size.
    #[arg(long, value_enum, default_value = "onnx")]
    format: FormatName,

    /// Type of weights and activations in the graph; inputs and outputs are 32-bit floats.
    #[arg(long, value_enum, default_value = "fp32")]
    precision: Precision,

    /// Images that show the ranges of activations, for int8: those named behind CONFIG, or of the validation data.
    #[arg(long, value_name = "N", default_value_t = 32)]
    calibration_images: usize,

    /// Images per run: a number, or `dynamic`.
    #[arg(long, value_name = "N|dynamic", value_parser = batch, default_value = "1")]
    batch: BatchSize,

    /// Height and width of the input: multiples of 32.
    #[arg(long, value_name = "H,W", value_delimiter = ',', num_args = 1, required = true)]
    size: Vec<i64>,

    /// Keep branches and batch norms as they were trained.
    #[arg(long)]
    unfused: bool,

    /// How a detector suppresses: in plain operators, which TensorRT builds without plugins, or by ONNX's NonMaxSuppression (and
    /// RoiAlign).
    #[arg(long, value_enum, default_value = "plain")]
    nms: NmsName,

    /// Rounds of suppression in plain operators: exact for chains of so many overlapping boxes.
    #[arg(long, value_name = "N", default_value_t = ROUNDS, value_parser = rounds)]
    nms_rounds: usize,

    /// Export a detector without the thresholds that `eval --choose` wrote for its weights: for measuring AP.
    #[arg(long)]
    no_thresholds: bool,

    /// Write the file's configuration for NVIDIA's Triton server beside it: STEM.config.pbtxt.
    #[arg(long)]
    triton: bool,

    /// The file to write.
    #[arg(long, value_name = "FILE.onnx")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PartName {
    /// The tapped feature maps.
    Backbone,
    /// Class logits of an image classifier.
    Classifier,
    /// A detector's networks, with a JSON file that describes the decoding.
    Raw,
    /// Image in, boxes, scores, labels and masks out.
    Detector,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    Onnx,
    Torchscript,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Precision {
    Fp32,
    Fp16,
    /// Weights and feature maps in int8, head outputs in float; ranges come from images.
    Int8,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum NmsName {
    Plain,
    Onnx,
}

fn batch(text: &str) -> Result<BatchSize, String> {
    match text.parse::<i64>() {
        _ if text == "dynamic" => Ok(BatchSize::Dynamic),
        Ok(n) if (1..=4096).contains(&n) => Ok(BatchSize::Fixed(n)),
        _ => Err("expected a number from 1 to 4096, or dynamic".into()),
    }
}

fn rounds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| "expected a number from 1 to 1000".into())
}

/// Height and width of `--size`.
pub fn height_and_width(size: &[i64]) -> anyhow::Result<[i64; 2]> {
    match *size {
        [height, width] => Ok([height, width]),
        _ => Err(bad_input("--size: expected height and width, as in --size 320,320")),
    }
}

/// Runs `export`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let ModelInput { loaded, weights, images } = args.model.read(&DeviceArgs::default())?;
    let thresholds = match (args.part, args.no_thresholds) {
        (PartName::Detector, false) => {
            let (thresholds, note) = chosen_thresholds::read(&weights)?;
            note.iter().for_each(|note| tracing::warn!("{note}"));
            thresholds
        }
        _ => None,
    };
    if let Some(t) = &thresholds {
        tracing::info!("the file applies the thresholds that were chosen for {}; --no-thresholds leaves them out", t.goal);
    }
    let options = ExportOptions {
        thresholds,
        weights,
        part: match args.part {
            PartName::Backbone => Part::Backbone,
            PartName::Classifier => Part::Classifier,
            PartName::Raw => Part::Raw,
            PartName::Detector => Part::Detector,
        },
        precision: match args.precision {
            Precision::Fp16 => ElementType::F16,
            Precision::Fp32 | Precision::Int8 => ElementType::F32,
        },
        int8: matches!(args.precision, Precision::Int8).then_some(args.calibration_images),
        format: match args.format {
            FormatName::Onnx => Format::Onnx,
            FormatName::Torchscript => Format::TorchScript,
        },
        batch: args.batch,
        size: height_and_width(&args.size)?,
        fused: !args.unfused,
        nms: match args.nms {
            NmsName::Plain => Nms::Plain { rounds: args.nms_rounds },
            NmsName::Onnx => Nms::Onnx,
        },
        output: args.output,
        images,
    };
    let report = export(&loaded.experiment, &loaded.to_yaml(false), &options)?;
    let mut text: String = report.parity.comparisons.iter().map(|f| format!("{f}\n")).collect();
    report.notes.iter().for_each(|note| text.push_str(&format!("{note}\n")));
    report.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if args.triton {
        let main = report.files.first().filter(|file| file.extension().is_some_and(|x| x == EXTENSION));
        let main = main.ok_or_else(|| bad_input("--triton: describes ONNX files"))?;
        text.push_str(&format!("{}\n", triton::write_config(main)?.display()));
    }
    let files: Vec<String> = report.files.iter().map(|f| f.display().to_string()).collect();
    let nodes = if report.nodes > 0 { format!("{} nodes: ", report.nodes) } else { String::new() };
    text.push_str(&format!("{nodes}{}\n", files.join(", ")));
    printable::print(&text)?;
    Ok(Outcome::Done)
}
