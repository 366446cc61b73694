//! `compare`: is one detector better than another, or is it chance.

use std::path::{Path, PathBuf};

use repghost_coco::IouType;
use repghost_train::compare::{self, Request};
use repghost_train::run::folder::write_json;

use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  two runs:                 repghost-det compare runs/base runs/new
  several seeds a side:     repghost-det compare runs/base-1,runs/base-2,runs/base-3 runs/new-1,runs/new-2,runs/new-3
  files of detections:      repghost-det compare old.json new.json --annotations instances_val.json
  a gate for CI:            repghost-det compare runs/base runs/new --fail-below -0.01

Of a run folder, the detections of its last evaluation are taken. Both sides are measured on the same bootstrap samples of the images;
with several runs per side, the noise of seeds is part of the interval. Exit code 3 where the change of AP is below --fail-below.";

/// Arguments of `compare`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder or detections file; several, joined by commas, are runs that differ in their seed.
    #[arg(value_name = "A")]
    a: PathBuf,

    /// The other side, as A.
    #[arg(value_name = "B")]
    b: PathBuf,

    /// COCO JSON file with the truth; without it the validation data of the first run folder.
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,

    /// What is compared; without it masks where the runs learn them, else boxes.
    #[arg(long, value_name = "TYPE", value_parser = ["bbox", "segm"])]
    iou_type: Option<String>,

    /// Bootstrap samples.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    samples: u32,

    /// Exit with code 3 where AP of B minus AP of A is below this.
    #[arg(long, value_name = "CHANGE", allow_negative_numbers = true)]
    fail_below: Option<f64>,

    /// File for everything as JSON.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Runs `compare`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let iou_type = args.iou_type.as_deref().map(|name| if name == "segm" { IouType::Segm } else { IouType::Bbox });
    let (a, b) = (listed(&args.a), listed(&args.b));
    let request = Request { a, b, annotations: args.annotations, iou_type, samples: args.samples as usize };
    let comparison = compare::run(&request)?;
    let mut text = format!("A: {}\nB: {}\n{}", args.a.display(), args.b.display(), comparison.text("A", "B"));
    if let Some(file) = &args.output {
        write_json(file, &comparison)?;
        text += &format!("wrote {}\n", file.display());
    }
    printable::print(&text)?;
    match args.fail_below {
        Some(least) if comparison.ap().difference < least => {
            tracing::error!("AP changed by {:+.4}, which is below {least:+}", comparison.ap().difference);
            Ok(Outcome::BelowBar)
        }
        _ => Ok(Outcome::Done),
    }
}

/// The paths of a side. A path that is there is one path, commas and all.
fn listed(side: &Path) -> Vec<PathBuf> {
    if side.exists() {
        return vec![side.into()];
    }
    side.to_string_lossy().split(',').filter(|part| !part.is_empty()).map(PathBuf::from).collect()
}
