//! `weights`: published weights by name, and weight files: look into them, rewrite them.

mod convert;
mod inspect;
mod names;

use std::path::Path;

use repghost_backbone::weights::{self, Container, StateDict};
use repghost_train::checkpoint::file::inference_weights;

use crate::bad_input::MarkBadInput;
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  published weights:                 repghost-det weights list repghostnet
  fetch some once:                   repghost-det weights fetch timm/repghostnet_130.in1k
  what is in it:                     repghost-det weights inspect repghostnet_1_0x.pth.tar
  a PyTorch file as safetensors:     repghost-det weights convert repghostnet_1_0x.pth.tar repghostnet_1_0x.safetensors

Read are safetensors and what torch.save writes, before PyTorch 1.6 too. Pickles are read as data: nothing in them is executed.";

/// Arguments of `weights`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Names(names::Command),
    /// List names, shapes, form (training, deploy, folded), and what network it looks like.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Args),
    /// Write the weights of a file as safetensors.
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::Args),
}

/// Runs `weights`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Names(command) => names::run(command, quiet),
        Command::Inspect(args) => inspect::run(args),
        Command::Convert(args) => convert::run(args),
    }
}

/// Runs a command of `weights` that needs no libtorch; none for those that read weights as tensors.
pub fn run_light(args: Args, quiet: bool) -> Option<anyhow::Result<Outcome>> {
    match args.command {
        Command::Names(command) => Some(names::run(command, quiet)),
        _ => None,
    }
}

/// Reads a weight file; of a training checkpoint of ours, the weights that it publishes.
fn read(path: &Path) -> anyhow::Result<(Container, StateDict)> {
    let container = weights::sniff(path).bad_input()?;
    let state = inference_weights(weights::read(path).bad_input()?);
    if let Some(chosen) = &state.chosen {
        tracing::info!("{}: a training checkpoint; its {chosen} is taken", path.display());
    }
    if !state.foreign.is_empty() {
        tracing::warn!("{}: names Python objects that were not made: {}", path.display(), state.foreign.join(", "));
    }
    Ok((container, state))
}
