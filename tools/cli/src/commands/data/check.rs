//! `data check`: everything that is wrong with an annotation file and its images.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use repghost_coco::annotations::Severity;
use repghost_coco::check::{check_as, CheckReport, ImageCheck};
use repghost_coco::duplicates::Shared;
use repghost_coco::DecodeConfig;

use super::against::{self, AgainstArgs};
use crate::bad_input::bad_input;
use crate::commands::counter::Counter;
use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  file and images, every image decoded:  repghost-det data check --annotations instances_train.json --images train/
  without decoding:                      repghost-det data check --annotations instances_train.json --images train/ --headers
  images shared with another set, drawn: repghost-det data check --annotations train.json --images train/ \
                                           --against val.json --against-images val/ --pairs shared.png
  photos annotated upright:              repghost-det data check --annotations instances_train.json --images train/ --apply-exif
  for a script:                          repghost-det data check --annotations instances_train.json --json

Errors are what training refuses (or drops with data.on_bad_annotation=drop); warnings are read as the message describes; notes are
peculiarities. Exit code 0 without errors, 2 with errors, or with an image that is in both sets byte for byte.";

/// Findings of one kind that are printed unless --all is given.
const SHOWN: usize = 20;

/// Arguments of `data check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// COCO JSON file, data.yaml or label folder (YOLO), folder of XML (Pascal VOC) or of JSON (LabelMe), or CVAT's XML file.
    #[arg(long, value_name = "FILE|DIR")]
    annotations: PathBuf,

    /// Image folder; without it only the annotation file is checked.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,

    /// Read only the headers of image files: quick, but a damaged file that is no JPEG passes.
    #[arg(long, requires = "images")]
    headers: bool,

    /// Judge images turned by their EXIF orientation, as data.apply_exif=true trains on them.
    #[arg(long)]
    apply_exif: bool,

    /// Print JSON, with every finding.
    #[arg(long)]
    json: bool,

    /// Print every finding, not only the first 20 of a kind.
    #[arg(long, conflicts_with = "json")]
    all: bool,

    #[command(flatten)]
    against: AgainstArgs,
}

/// Runs `data check`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    if let Some(folder) = &args.images {
        if repghost_coco::shards::of_root(folder)?.is_none() && !folder.is_dir() {
            return Err(bad_input(format!("{}: is no folder of images", folder.display())));
        }
    }
    let how = if args.headers { ImageCheck::Header } else { ImageCheck::Decode };
    let decode = DecodeConfig { apply_exif: args.apply_exif, ..DecodeConfig::default() };
    let report = checked(&args, how, &decode, quiet)?;
    let shown = if args.all { usize::MAX } else { SHOWN };
    let shared = args.against.compare(&args.annotations, args.images.as_deref(), quiet)?;
    let text = match &shared {
        _ if args.json => json(&report, shared.as_ref())?,
        Some(shared) => listing(&report, shown) + &against::listing(shared, shown),
        None => listing(&report, shown),
    };
    printable::print(&text)?;
    match (report.count(Severity::Error), shared.map_or(0, |shared| shared.equal())) {
        (0, 0) => Ok(Outcome::Done),
        (0, equal) => {
            Err(bad_input(format!("{}: {} in the other set too", report.annotation_file.display(), plural(equal, "image"))))
        }
        (errors, _) => Err(bad_input(format!("{}: {}", report.annotation_file.display(), plural(errors, "error")))),
    }
}

/// Checks, with a bar for the annotations and one for the images.
fn checked(args: &Args, how: ImageCheck, decode: &DecodeConfig, quiet: bool) -> anyhow::Result<CheckReport> {
    let counters = ["annotations", "images"].map(|what| (what, Mutex::new(Counter::of("checking", what, quiet))));
    let report = check_as(&args.annotations, args.images.as_deref(), how, decode, &|what, done, total| {
        // Whoever comes while another thread draws has nothing to wait for.
        if let Some(mut shown) = counters.iter().find(|(name, _)| *name == what).and_then(|(_, c)| c.try_lock().ok()) {
            shown.update(done, total);
        }
    });
    counters.iter().filter_map(|(_, counter)| counter.lock().ok()).for_each(|counter| counter.clear());
    Ok(report?)
}

fn json(report: &CheckReport, shared: Option<&Shared>) -> anyhow::Result<String> {
    let mut value = serde_json::to_value(report)?;
    if let Some(object) = value.as_object_mut() {
        for severity in [Severity::Error, Severity::Warning, Severity::Note] {
            object.insert(format!("{severity}s"), report.count(severity).into());
        }
        if let Some(shared) = shared {
            object.insert("shared".into(), serde_json::to_value(shared)?);
        }
    }
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn listing(report: &CheckReport, shown: usize) -> String {
    let mut text = String::new();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let mut codes = Vec::new();
        for finding in report.findings.iter().filter(|finding| finding.severity == severity) {
            let count = counts.entry(finding.code).or_default();
            *count += 1;
            if *count == 1 {
                codes.push(finding.code);
            }
            if *count <= shown {
                // Writing into a string cannot fail.
                let _ = writeln!(text, "{:<8} {:<24} {finding}", severity.to_string(), finding.code);
            }
        }
        for code in codes {
            let more = counts.get(code).copied().unwrap_or(0).saturating_sub(shown);
            if more > 0 {
                let _ = writeln!(text, "{:<8} {code:<24} … {more} more (--all lists them)", severity.to_string());
            }
        }
    }
    let _ = writeln!(
        text,
        "{}: {}, {}, {}: {}, {}, {}",
        report.annotation_file.display(),
        plural(report.images, "image"),
        plural(report.annotations, "annotation"),
        if report.categories == 1 { "1 category".to_owned() } else { format!("{} categories", report.categories) },
        plural(report.count(Severity::Error), "error"),
        plural(report.count(Severity::Warning), "warning"),
        plural(report.count(Severity::Note), "note"),
    );
    text
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
