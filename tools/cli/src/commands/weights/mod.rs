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
    /// List the published weights that are known by name, and which are on this machine.
    #[command(after_help = names::LIST_EXAMPLES)]
    List(names::ListArgs),
    /// Fetch published weights into the caches that Python shares, and print their paths.
    #[command(after_help = names::FETCH_EXAMPLES)]
    Fetch(names::FetchArgs),
    /// Print where published weights are on this machine.
    #[command(after_help = names::WHERE_EXAMPLES)]
    Where(names::WhereArgs),
    /// List names, shapes, form (training, deploy, folded), and what network it looks like.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Args),
    /// Write the weights of a file as safetensors.
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::Args),
}

impl Args {
    /// Whether the command needs libtorch: weights are read as tensors.
    pub fn needs_libtorch(&self) -> bool {
        matches!(self.command, Command::Inspect(_) | Command::Convert(_))
    }
}

/// Runs `weights`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Inspect(args) => inspect::run(args),
        Command::Convert(args) => convert::run(args),
        command => run_light(Args { command }, quiet),
    }
}

/// Runs a command of `weights` that needs no libtorch.
pub fn run_light(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    match args.command {
        Command::List(args) => names::list(args),
        Command::Fetch(args) => names::fetch(args, quiet),
        Command::Where(args) => names::place(args),
        Command::Inspect(_) | Command::Convert(_) => Err(anyhow::anyhow!("this command needs libtorch")),
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
