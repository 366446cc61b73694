//! `report`: one page about runs and sweeps.

use std::io::Write;
use std::path::PathBuf;

use repghost_train::report::{self, Request};

use crate::exit::Outcome;
use crate::printable::Out;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a run:                  repghost-det report runs/demo --output report.html
  two runs compared:      repghost-det report runs/demo runs/demo-2 --output comparison.html
  a sweep, also while
  it is running:          repghost-det report runs/sweeps/reparam-demo --output reparam.html
  a sweep beside a run:   repghost-det report runs/sweeps/widths-demo runs/demo
  no pictures in it:      repghost-det report runs/demo --images 0

The page is one file that needs no network and nothing beside it: send it around as it is. Detections are those of each run's last
evaluation. Paths in the experiment are relative to the working directory, as in training.";

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folders and sweep folders.
    #[arg(required = true, value_name = "RUN|SWEEP")]
    folders: Vec<PathBuf>,

    /// The page.
    #[arg(long, short, default_value = "report.html", value_name = "FILE")]
    output: PathBuf,

    /// Images that the page shows with detections: half of them the worst, half evenly spread.
    #[arg(long, default_value_t = 24, value_name = "N")]
    images: usize,
}

/// Runs `report`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let request = Request { folders: args.folders, images: args.images };
    let page = report::make(&request, &mut |what| tracing::info!("{what}"))?;
    for note in &page.notes {
        tracing::warn!("{note}");
    }
    report::write(&page, &args.output)?;
    let mebibytes = page.html.len() as f64 / f64::from(1 << 20);
    writeln!(Out, "wrote {} ({mebibytes:.1} MiB)", args.output.display())?;
    Ok(Outcome::Done)
}
