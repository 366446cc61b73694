//! `check-cuda PART`: one part of the check, as a JSON object on the last line. Exit code 0: all passed, 1: some did not, 2: it could not run.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use repghost_check_cuda::report::Row;
use repghost_check_cuda::{fixtures, ops, oracle, setup, speed, step};
use repghost_kernels::cuda::{self, Nvrtc, Source};
use tch::Device;

#[derive(Parser)]
#[command(about = "Checks of the way through an NVIDIA card")]
struct Args {
    /// `cpu`, `cuda` or `cuda:N`.
    #[arg(long, default_value = "cuda", global = true)]
    device: String,
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Compiler and kernels: what is there.
    Kernels,
    /// Each kernel against its definition.
    Ops {
        /// Small cases, for tools that slow the card down.
        #[arg(long)]
        small: bool,
    },
    /// The kernels against torchvision's numbers in a file of oracle.py.
    Oracle {
        /// The file.
        file: PathBuf,
    },
    /// Torchvision's numbers of whole heads.
    Fixtures,
    /// A training step against the CPU.
    Step {
        /// The head.
        head: String,
    },
    /// Images per second.
    Speed {
        /// The head.
        head: String,
        /// fp32, tf32, bf16 or fp16.
        #[arg(long, default_value = "tf32")]
        precision: String,
        /// Images.
        #[arg(long, default_value_t = 16)]
        batch: usize,
        /// Height in pixels.
        #[arg(long, default_value_t = 800)]
        height: i64,
        /// Width in pixels.
        #[arg(long, default_value_t = 1344)]
        width: i64,
        /// Steps that count.
        #[arg(long, default_value_t = 10)]
        steps: usize,
        /// Width of RepGhostNet.
        #[arg(long, default_value_t = 1.3)]
        net: f64,
        /// Inference instead of training.
        #[arg(long)]
        infer: bool,
        /// Write a trace of one more step to this file.
        #[arg(long)]
        trace: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {}", format!("{error:#}").lines().next().unwrap_or_default());
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let device = setup::device(&args.device)?;
    let rows = match &args.part {
        Part::Kernels => return kernels(device),
        Part::Ops { small } => ops::all(device, if *small { ops::Scale::Small } else { ops::Scale::Full }),
        Part::Oracle { file } => oracle::compare(file, device)?,
        Part::Fixtures => fixtures::all(device)?,
        Part::Step { head } => step::compare(head, device)?,
        Part::Speed { head, precision, batch, height, width, steps, net, infer, trace } => {
            let (head, precision) = (head.clone(), precision.clone());
            let size = [*height, *width];
            let trace = trace.clone();
            let plan = speed::Plan { head, width: *net, precision, batch: *batch, size, steps: *steps, train: !infer, trace };
            println!("{}", serde_json::to_string(&speed::measure(&plan, device)?)?);
            return Ok(true);
        }
    };
    print(&rows)
}

fn print(rows: &[Row]) -> Result<bool> {
    for row in rows {
        eprintln!("{} {}: {:.2e} (limit {:.0e})", if row.passes() { "ok  " } else { "FAIL" }, row.name, row.error, row.limit);
    }
    let failed = rows.iter().filter(|row| !row.passes()).count();
    println!("{}", serde_json::json!({ "rows": rows, "failed": failed }));
    Ok(failed == 0)
}

/// Compiles every kernel for the card at hand; on the CPU for three common architectures.
fn kernels(device: Device) -> Result<bool> {
    let nvrtc = Nvrtc::get()?;
    let status = match device {
        Device::Cuda(card) => cuda::status(card)?,
        _ => format!("NVRTC {}", nvrtc.version()),
    };
    let archs = ["sm_75", "sm_80", "sm_90"];
    let mut bytes = 0;
    for (source, arch) in Source::ALL.iter().flat_map(|source| archs.map(|arch| (source, arch))) {
        for scalar in source.scalars() {
            bytes += nvrtc.compile(*source, *scalar, arch)?.len();
        }
    }
    println!("{}", serde_json::json!({ "status": status, "compiled_bytes": bytes }));
    Ok(true)
}
