//! `features`: the tapped maps of images, as safetensors.

use std::fmt::Write as _;
use std::path::PathBuf;

use repghost_train::features::features;
use repghost_train::WeightsFile;

use crate::bad_input::bad_input;
use crate::commands::device::DeviceArgs;
use crate::commands::model_args::{ModelArgs, ModelInput};
use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  of a trained detector:    repghost-det features runs/mine a.jpg --output maps.safetensors
  of a published backbone:  repghost-det features experiments/retinanet.yaml --weights timm/repghostnet_130.in1k a.jpg --output maps.safetensors

Names are levels: C2, C3, … of the backbone, P3, P4, … of a detector's pyramid; with several images NAME/C3.";

/// Arguments of `features`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// The file to write.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs `features`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let ModelInput { loaded, weights, images } = args.model.read(&args.device)?;
    if images.is_empty() {
        return Err(bad_input("no image is named: expected files or folders behind the experiment"));
    }
    let maps = features(&loaded.experiment, WeightsFile::read(&weights)?, &images, &args.output)?;
    let mut text = String::new();
    for (name, shape) in maps {
        let _ = writeln!(text, "{name}  {shape:?}");
    }
    printable::print(&text)?;
    Ok(Outcome::Done)
}
