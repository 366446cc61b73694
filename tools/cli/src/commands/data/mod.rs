//! `data`: look at data sets, check them, make one.

mod against;
mod browse;
mod check;
mod convert;
mod crops;
mod document;
mod fetch;
mod merge;
mod shapes;
mod shard;
mod split;
mod stats;
mod suspects;

use std::ops::ControlFlow;

use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  everything that is wrong:           repghost-det data check --annotations instances_train.json --images train/
  images that val shares with train:  repghost-det data check --annotations train.json --images images/ --against val.json
  a part to measure on:               repghost-det data split --annotations all.json --output split/ --stratify
  two sets into one:                  repghost-det data merge a.json b.json --output both.json
  YOLO to COCO:                       repghost-det data convert --annotations set/data.yaml --output set.json
  COCO 2017:                          repghost-det data fetch coco2017 --output data/coco
  what is in it:                      repghost-det data stats --annotations instances_train.json
  labels that look wrong:             repghost-det data suspects --annotations instances_train.json --detections detections.json
  samples as the network sees them:   repghost-det data browse experiments/demo.yaml --output sheet.png
  boxes as an image folder:           repghost-det data crops --annotations instances_train.json --images train/ --output crops/
  images as tar archives:             repghost-det data shard --annotations FILE --images train/ --output shards/
  built-in data as PNG and COCO JSON: repghost-det data shapes --output shapes/ --train 1000 --val 200";

/// Arguments of `data`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List every problem of an annotation file and its images, with image and annotation ids; exit code 2 where training would refuse.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Args),
    /// Write a set in another format: COCO, YOLO, Pascal VOC, CVAT.
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::Args),
    /// Put several sets together into one COCO file.
    #[command(after_help = merge::EXAMPLES)]
    Merge(merge::Args),
    /// Split a set into a training and a validation part, by groups that never cross.
    #[command(after_help = split::EXAMPLES)]
    Split(split::Args),
    /// Count images, objects and sizes, by class.
    #[command(after_help = stats::EXAMPLES)]
    Stats(stats::Args),
    /// List labels that confident detections contradict: missing, of another class, badly placed.
    #[command(after_help = suspects::EXAMPLES)]
    Suspects(suspects::Args),
    /// Draw augmented samples with their objects on one sheet.
    #[command(after_help = browse::EXAMPLES)]
    Browse(browse::Args),
    /// Cut the objects of a detection set out of their images: one folder a class, for image classification.
    #[command(after_help = crops::EXAMPLES)]
    Crops(crops::Args),
    /// Fetch a public data set: COCO 2017.
    #[command(after_help = fetch::EXAMPLES)]
    Fetch(fetch::Args),
    /// Store images in tar archives (shards), which a cluster's disks read in one go.
    #[command(after_help = shard::EXAMPLES)]
    Shard(shard::Args),
    /// Write the built-in data set of simple figures: PNG images and COCO JSON with boxes and masks.
    #[command(after_help = shapes::EXAMPLES)]
    Shapes(shapes::Args),
}

/// Runs `data`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    match run_light(args, quiet) {
        ControlFlow::Break(result) => result,
        ControlFlow::Continue(args) => browse::run(args),
    }
}

/// Runs a command of `data` that needs no libtorch. What is left is `browse`: samples are drawn as tensors.
pub fn run_light(args: Args, quiet: bool) -> ControlFlow<anyhow::Result<Outcome>, browse::Args> {
    ControlFlow::Break(match args.command {
        Command::Browse(args) => return ControlFlow::Continue(args),
        Command::Check(args) => check::run(args, quiet),
        Command::Convert(args) => convert::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Split(args) => split::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Suspects(args) => suspects::run(args),
        Command::Crops(args) => crops::run(args, quiet),
        Command::Fetch(args) => fetch::run(args, quiet),
        Command::Shard(args) => shard::run(args, quiet),
        Command::Shapes(args) => shapes::run(args),
    })
}
