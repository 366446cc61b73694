//! `demo`: a detector learns on built-in images, without any data or file.

use std::path::PathBuf;

use super::device::DeviceArgs;
use super::train;
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  four epochs on built-in images:     repghost-det demo
  a quick look:                       repghost-det demo train.epochs=1 data.shapes.train_images=800
  what it found, on one page:         repghost-det report runs/demo

The same as `repghost-det train demo`; `repghost-det config --list` has more built-in experiments.";

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Values that replace the experiment's: `train.epochs=1`.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,

    /// Folder for everything the run writes; runs/demo, numbered where that is taken.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,

    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs `demo`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    train::run(train::Args::new("demo", args.overrides, args.run_dir, args.device), quiet)
}
