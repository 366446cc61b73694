//! `data crops`: a detection set's objects as an image folder.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;

use repghost_coco::crops::{write_crops, CropOptions};
use repghost_coco::{Dataset, DatasetOptions, Place};

use crate::bad_input::bad_input;
use crate::commands::counter::Counter;
use crate::exit::Outcome;
use crate::printable::Out;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  both halves of a set:    repghost-det data crops --annotations instances_train.json --images train/ --output crops/
                           repghost-det data crops --annotations instances_val.json --images val/ --output crops/ --name val
  tighter, larger objects: repghost-det data crops --annotations FILE --images DIR --output crops/ --margin 0 --min-size 32
  then learn them:         repghost-det train experiments/small_classify.yaml data.train.images=crops/train data.val.images=crops/val

OUTPUT/NAME/CLASS/IMAGE_ID.png, where ID is the annotation's. Crowds and boxes without area are left out.";

/// Arguments of `data crops`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// COCO JSON file, data.yaml or label folder (YOLO), folder of XML (Pascal VOC) or of JSON (LabelMe), or CVAT's XML file.
    #[arg(long, value_name = "FILE|DIR")]
    annotations: PathBuf,

    /// Image folder.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,

    /// Folder that gets the subfolder NAME.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Subfolder: train or val, as image folders have them, or any other name.
    #[arg(long, value_name = "NAME", default_value = "train")]
    name: String,

    /// Names of classes; all where this is left out.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    classes: Option<Vec<String>>,

    /// Border around each box, as a share of its longer side.
    #[arg(long, value_name = "SHARE", default_value_t = CropOptions::default().margin)]
    margin: f64,

    /// Leave out boxes whose shorter side is below so many pixels.
    #[arg(long, value_name = "PX", default_value_t = CropOptions::default().min_size)]
    min_size: f64,

    /// Keep the boxes' shapes, instead of squares around them.
    #[arg(long)]
    keep_shape: bool,
}

/// Runs `data crops`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    if args.name.is_empty() || args.name.contains(['/', '\\']) || args.name.starts_with('.') {
        return Err(bad_input(format!("--name {:?}: expected the name of a subfolder, such as train or val", args.name)));
    }
    let place = Place { annotations: &args.annotations, images: Some(&args.images), split: None };
    let (dataset, _) = Dataset::open(&place, &DatasetOptions { classes: args.classes, ..Default::default() })?;
    let options = CropOptions { margin: args.margin, min_size: args.min_size, square: !args.keep_shape };
    let folder = args.output.join(&args.name);
    let shown = Mutex::new(Counter::new("cutting", quiet));
    let written = write_crops(&dataset, &args.images, &folder, &options, &|done, total| {
        if let Ok(mut shown) = shown.lock() {
            shown.update(done, total);
        }
    });
    if let Ok(shown) = shown.lock() {
        shown.clear();
    }
    let written = written?;
    let mut out = Out;
    for (class, count) in &written.classes {
        match count {
            0 => writeln!(out, "{count:>8}  of {class}: no folder")?,
            _ => writeln!(out, "{count:>8}  {}", folder.join(class).display())?,
        }
    }
    if written.too_small > 0 {
        writeln!(out, "{:>8}  boxes below {} px were left out", written.too_small, options.min_size)?;
    }
    Ok(Outcome::Done)
}
