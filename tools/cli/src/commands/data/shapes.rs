//! `data shapes`: the built-in data as files.

use std::io::Write;
use std::path::PathBuf;

use repghost_coco::shapes::{write_set, ShapesConfig, FIRST_VAL};
use repghost_coco::Check;

use crate::bad_input::MarkBadInput;
use crate::exit::Outcome;
use crate::printable::Out;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  the demo's size:        repghost-det data shapes --output shapes/
  larger, another seed:   repghost-det data shapes --output shapes/ --train 5000 --val 500 --size 320 --seed 7
  then look at it:        repghost-det data stats --annotations shapes/annotations/instances_train.json

The same seed gives the same bytes on every machine.";

/// Arguments of `data shapes`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder for train/, val/ and annotations/.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Number of training images.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    train: u64,

    /// Number of validation images.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    val: u64,

    /// Seed of the series.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,

    /// Height and width of the images in pixels.
    #[arg(long, value_name = "PX", default_value_t = 256)]
    size: u32,

    /// Most objects in an image.
    #[arg(long, value_name = "N", default_value_t = 7)]
    max_objects: u32,
}

/// Runs `data shapes`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let config = ShapesConfig { size: [args.size; 2], max_objects: args.max_objects, ..ShapesConfig::default() };
    config.check("").bad_input()?;
    for (name, first, count) in [("train", 0, args.train), ("val", FIRST_VAL, args.val)] {
        if count == 0 {
            continue;
        }
        let written = write_set(&args.output, name, args.seed, first, count, &config)?;
        writeln!(
            Out,
            "{} images with {} objects: {} and {}",
            written.image_count,
            written.object_count,
            written.images.display(),
            written.annotations.display()
        )?;
    }
    Ok(Outcome::Done)
}
