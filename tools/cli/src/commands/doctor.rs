//! `doctor`: versions, libraries and devices.

use repghost_export::runtime::onnxruntime;
use repghost_export::tensorrt::find_trtexec;
use repghost_train::environment::{read_word, Environment, Search};
use serde::Serialize;

use crate::cuda::Cuda;
use crate::exit::Outcome;
use crate::printable;

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

/// All that is looked at.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    environment: Environment,
    /// What runs on NVIDIA's cards.
    cuda: Cuda,
    /// For exported models.
    onnxruntime: Search,
    /// TensorRT's builder, for exported models on NVIDIA GPUs.
    trtexec: Search,
}

/// Runs `doctor`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    // First: libtorch looks for its CUDA half once.
    let cuda = Cuda::collect();
    let report = Report { environment: Environment::collect(), cuda, onnxruntime: find_onnxruntime(), trtexec: search_trtexec() };
    let text = if args.json { serde_json::to_string_pretty(&report)? + "\n" } else { table(&report) };
    printable::print(&text)?;
    Ok(Outcome::Done)
}

fn find_onnxruntime() -> Search {
    let found = onnxruntime::find();
    let version = found.as_ref().and_then(|library| read_word(&library.with_file_name("version")));
    let variable = std::env::var_os("ORT_DYLIB_PATH").is_none().then(|| "ORT_DYLIB_PATH (not set)".to_string());
    let looked = variable.into_iter().chain(onnxruntime::candidates().into_iter().map(|p| p.display().to_string()));
    Search { found, version, looked: looked.collect() }
}

fn search_trtexec() -> Search {
    let variable = std::env::var("TRTEXEC").map_or("TRTEXEC (not set)".into(), |path| format!("TRTEXEC={path}"));
    let looked = vec![variable, "PATH".into(), "Debian's /usr/src/tensorrt/bin".into()];
    Search { found: find_trtexec(), version: None, looked }
}

fn table(report: &Report) -> String {
    let e = &report.environment;
    let rows = vec![
        ("repghost-det", format!("{} on {}", e.version, e.platform)),
        ("tch", format!("{} (made for libtorch {})", e.tch, e.libtorch_expected)),
        ("libtorch", found(&e.libtorch)),
        ("device", report.cuda.device.clone()),
        (
            "threads",
            format!("{} within and {} between operations (processors: {})", e.intra_op_threads, e.inter_op_threads, e.processors),
        ),
        ("onnxruntime", found(&report.onnxruntime)),
        ("trtexec", found(&report.trtexec)),
    ];
    let cuda = report.cuda.rows();
    let all = rows.into_iter().map(|(name, value)| (name.to_string(), value)).chain(cuda);
    all.map(|(name, value)| format!("{name:<14}{value}\n")).collect()
}

fn found(search: &Search) -> String {
    match &search.found {
        Some(path) => format!("{}{}", search.version.as_ref().map_or(String::new(), |v| format!("{v}  ")), path.display()),
        None => format!("not found; looked at {}", search.looked.join(", ")),
    }
}
