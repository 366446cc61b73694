//! `fuse`: trained weights to weights for inference.

use std::path::PathBuf;

use repghost_backbone::FuseLevel;
use repghost_train::fuse::fuse;
use repghost_train::WeightsFile;

use crate::commands::device::DeviceArgs;
use crate::commands::model_args::{ModelArgs, ModelInput};
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  everything fused:                 repghost-det fuse runs/mine --output fused.safetensors
  only the re-parameterised parts:  repghost-det fuse runs/mine --weights W --level branches --output deploy.safetensors
  compared on an image of yours:    repghost-det fuse runs/mine --weights W --output fused.safetensors a.jpg

predict, eval and features accept the result.";

/// How much is fused.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Level {
    /// The added branches only: the form that the authors publish for inference.
    Branches,
    /// Branches and all batch norms.
    All,
}

/// Arguments of `fuse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// The file to write.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// How much is fused.
    #[arg(long, value_enum, default_value = "all")]
    level: Level,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs `fuse`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let ModelInput { loaded, weights, images } = args.model.read(&args.device)?;
    let level = match args.level {
        Level::Branches => FuseLevel::Branches,
        Level::All => FuseLevel::All,
    };
    let fused = fuse(&loaded.experiment, WeightsFile::read(&weights)?, &images, level, &args.output)?;
    println!(
        "{} tensors became {}, {} parameters {}",
        fused.tensors[0], fused.tensors[1], fused.parameters[0], fused.parameters[1]
    );
    println!(
        "largest difference of the feature maps: {:.3e} (largest value {:.3e}), on {}",
        fused.difference, fused.largest, fused.images
    );
    println!("{}", args.output.display());
    Ok(Outcome::Done)
}
