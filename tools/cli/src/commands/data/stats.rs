//! `data stats`: what is in a data set.

use std::fmt::Write as _;
use std::path::PathBuf;

use repghost_coco::stats::{stats, Sizes, Spread, Stats};
use repghost_coco::{Dataset, DatasetOptions, OnBadAnnotation, Place};

use crate::exit::Outcome;
use crate::printable;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a table:          repghost-det data stats --annotations instances_train.json
  of some classes:  repghost-det data stats --annotations instances_train.json --classes person,dog
  for a script:     repghost-det data stats --annotations instances_train.json --json

Annotations that training would refuse are left out and counted; `data check` lists them.";

/// Arguments of `data stats`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// COCO JSON file, data.yaml or label folder (YOLO), folder of XML (Pascal VOC) or of JSON (LabelMe), or CVAT's XML file.
    #[arg(long, value_name = "FILE|DIR")]
    annotations: PathBuf,

    /// Image folder, where it is not where the format has it.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,

    /// Names of classes; all where this is left out.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    classes: Option<Vec<String>>,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `data stats`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let options = DatasetOptions { classes: args.classes, on_bad_annotation: OnBadAnnotation::Drop, ..DatasetOptions::default() };
    let place = Place { annotations: &args.annotations, images: args.images.as_deref(), split: None };
    let (dataset, _) = Dataset::open(&place, &options)?;
    if dataset.report.dropped > 0 {
        tracing::warn!("{} bad annotations are left out; `repghost-det data check` lists them", dataset.report.dropped);
    }
    let stats = stats(&dataset);
    let text = if args.json { serde_json::to_string_pretty(&stats)? + "\n" } else { table(&stats) };
    printable::print(&text)?;
    Ok(Outcome::Done)
}

// Writing into a string cannot fail, hence the `let _`.
fn table(stats: &Stats) -> String {
    let mut text = String::new();
    let share = |count: usize| 100.0 * count as f64 / stats.objects.max(1) as f64;
    let Sizes { small, medium, large } = stats.sizes;
    let _ = writeln!(text, "images       {} ({} without an object)", stats.images, stats.empty_images);
    let _ = writeln!(text, "objects      {} ({} with a mask), {} crowds", stats.objects, stats.with_mask, stats.crowds);
    if stats.without_area > 0 {
        let _ = writeln!(text, "no area      {} boxes, which training skips", stats.without_area);
    }
    let _ = writeln!(
        text,
        "sizes        {small} small ({:.1} %), {medium} medium ({:.1} %), {large} large ({:.1} %)",
        share(small),
        share(medium),
        share(large)
    );
    let _ = writeln!(text, "\n{:<22}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}", "", "min", "10 %", "median", "mean", "90 %", "max");
    let spreads = [
        ("objects per image", stats.objects_per_image),
        ("box width / height", stats.aspect_ratio),
        ("box size (√area, px)", stats.box_size),
        ("image width (px)", stats.image_width),
        ("image height (px)", stats.image_height),
    ];
    for (name, spread) in spreads {
        if let Some(Spread { min, p10, median, mean, p90, max }) = spread {
            let _ = writeln!(text, "{name:<22}{min:>9.2}{p10:>9.2}{median:>9.2}{mean:>9.2}{p90:>9.2}{max:>9.2}");
        }
    }
    let widest = stats.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).clamp(5, 30);
    let _ = writeln!(
        text,
        "\n{:>10}  {:<widest$}{:>9}{:>8}{:>8}{:>9}{:>9}{:>9}{:>8}",
        "id", "class", "objects", "share", "images", "small", "medium", "large", "crowds"
    );
    for class in &stats.classes {
        let Sizes { small, medium, large } = class.sizes;
        let _ = writeln!(
            text,
            "{:>10}  {:<widest$}{:>9}{:>6.1} %{:>8}{small:>9}{medium:>9}{large:>9}{:>8}",
            class.category_id,
            class.name,
            class.objects,
            share(class.objects),
            class.images,
            class.crowds
        );
    }
    text
}
