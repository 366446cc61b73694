//! `data convert`: a set in another format.

use std::path::PathBuf;

use repghost_coco::edit::{convert, Target};

use super::document::DocumentArgs;
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  YOLO to COCO:           repghost-det data convert --annotations set/data.yaml --split val --output instances_val.json
  Pascal VOC to COCO:     repghost-det data convert --annotations VOC2007/Annotations --output voc.json
  COCO to YOLO's labels:  repghost-det data convert --annotations instances_val.json --to yolo --output yolo/

Images stay where they are; the last line names their folder. COCO files keep everything that stands in them. YOLO and VOC hold boxes,
CVAT boxes and polygons: what they lose is counted.";

/// Arguments of `data convert`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    set: DocumentArgs,

    /// Format to write.
    #[arg(long, value_enum, default_value_t = To::Coco)]
    to: To,

    /// The file (coco, cvat) or new folder (yolo, voc) to write.
    #[arg(long, value_name = "FILE|DIR")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum To {
    Coco,
    Yolo,
    Voc,
    Cvat,
}

/// Runs `data convert`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let target = match args.to {
        To::Coco => Target::Coco,
        To::Yolo => Target::Yolo,
        To::Voc => Target::Voc,
        To::Cvat => Target::Cvat,
    };
    let document = args.set.read()?;
    let written = convert(&document, target, &args.output)?;
    for lost in written.lost {
        tracing::warn!("left out: {lost}");
    }
    println!("{}: {} images, {} objects", args.output.display(), written.images, written.objects);
    if let Some(root) = &document.root {
        println!("images: {}", root.display());
    }
    Ok(Outcome::Done)
}
