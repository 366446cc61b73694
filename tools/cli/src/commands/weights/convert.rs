//! `weights convert`: any weight file as safetensors.

use std::path::PathBuf;

use repghost_backbone::weights;

use crate::bad_input::bad_input;
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a published file:           repghost-det weights convert repghostnet_1_0x.pth.tar repghostnet_1_0x.safetensors
  over a file that is there:  repghost-det weights convert model.pth model.safetensors --force

Tensors keep their names and kinds. A `module.` before every name goes; of a training checkpoint the averaged weights are taken.";

/// Arguments of `weights convert`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Weight file: safetensors, or what torch.save writes.
    #[arg(value_name = "IN")]
    input: PathBuf,

    /// The safetensors file to write.
    #[arg(value_name = "OUT")]
    output: PathBuf,

    /// Replace OUT where it is there.
    #[arg(long)]
    force: bool,
}

/// Runs `weights convert`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let output = args.output.display();
    if args.output.extension().is_none_or(|e| e != "safetensors") {
        return Err(bad_input(format!("{output}: only safetensors are written; end the name in .safetensors")));
    }
    if args.output.exists() && !args.force {
        return Err(bad_input(format!("{output}: is there already; --force replaces it")));
    }
    let (_, mut state) = super::read(&args.input)?;
    let source = args.input.file_name().unwrap_or_default().to_string_lossy().into_owned();
    state.metadata.insert("converted_from".into(), source);
    weights::write(&args.output, &state)?;
    tracing::info!("{output}: {} tensors written", state.len());
    Ok(Outcome::Done)
}
