//! `doctor`: versions, libraries and devices.

use std::io::{self, Write};

use repghost_train::environment::{Environment, Search};

use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  what is found and what is not:     repghost-det doctor
  for a bug report or a script:      repghost-det doctor --json
  with another onnxruntime:          ORT_DYLIB_PATH=/opt/ort/libonnxruntime.so repghost-det doctor

Nothing optional that is missing is an error: training and evaluation need libtorch only.";

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `doctor`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let environment = Environment::collect();
    let text = if args.json { serde_json::to_string_pretty(&environment)? + "\n" } else { table(&environment) };
    io::stdout().write_all(text.as_bytes())?;
    Ok(Outcome::Done)
}

fn table(e: &Environment) -> String {
    let devices = match e.cuda_devices {
        0 => "CPU".into(),
        n => format!("CPU, {n} CUDA (cuDNN {})", e.cudnn.map_or("not found".into(), |v| v.to_string())),
    };
    let rows = [
        ("repghost-det", format!("{} on {}", e.version, e.platform)),
        ("tch", format!("{} (made for libtorch {})", e.tch, e.libtorch_expected)),
        ("libtorch", found(&e.libtorch)),
        ("devices", devices),
        (
            "threads",
            format!(
                "{} within and {} between operations, on {} processors",
                e.intra_op_threads, e.inter_op_threads, e.processors
            ),
        ),
        ("onnxruntime", found(&e.onnxruntime)),
        ("trtexec", found(&e.trtexec)),
    ];
    rows.iter().map(|(name, value)| format!("{name:<14}{value}\n")).collect()
}

fn found(search: &Search) -> String {
    match &search.found {
        Some(path) => format!("{}{}", search.version.as_ref().map_or(String::new(), |v| format!("{v}  ")), path.display()),
        None => format!("not found; looked at {}", search.looked.join(", ")),
    }
}
