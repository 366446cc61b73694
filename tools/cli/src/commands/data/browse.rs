//! `data browse`: a sheet of augmented samples with their objects.

use std::io::Write;
use std::path::PathBuf;

use repghost_coco::browse::{browse, BrowseOptions};
use repghost_coco::files::write_picture;
use repghost_coco::{ClassList, DataError, LabelMode, Loader};
use repghost_train::config::data_paths::Split;
use repghost_train::config::{Experiment, Loaded, Task};
use repghost_train::{classification, detection};

use crate::bad_input::bad_input;
use crate::exit::Outcome;
use crate::printable::Out;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  what the network learns from:   repghost-det data browse experiments/demo.yaml --output sheet.png
  the same images an epoch later: repghost-det data browse experiments/demo.yaml --output sheet.png --epoch 1
  what is measured on:            repghost-det data browse experiments/demo.yaml --output sheet.png --split val
  stronger augmentation:          repghost-det data browse experiments/demo.yaml --output sheet.png 'data.augment.iou_crop={}'";

/// Arguments of `data browse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Values that replace the file's: `data.augment.hflip=0`.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,

    /// Where the picture goes (PNG).
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Training images are augmented, validation images only resized.
    #[arg(long, value_enum, default_value_t = Which::Train)]
    split: Which,

    /// The epoch whose augmentation is shown.
    #[arg(long, value_name = "N", default_value_t = 0)]
    epoch: usize,

    /// Images to pass over.
    #[arg(long, value_name = "N", default_value_t = 0)]
    skip: usize,

    /// Images to show.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=400))]
    count: u16,

    /// Images in a row.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=40))]
    columns: u16,

    /// Longest side of an image on the sheet in pixels.
    #[arg(long, value_name = "PX", default_value_t = 400, value_parser = clap::value_parser!(u32).range(32..=4096))]
    cell: u32,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Which {
    Train,
    Val,
}

/// Runs `data browse`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    let loaded = Loaded::read(&args.file, &args.overrides)?;
    let e = &loaded.experiment;
    let split = match args.split {
        Which::Train => Split::Train,
        Which::Val => Split::Val,
    };
    let (loader, classes) = loader(e, split)?;
    let options = BrowseOptions {
        epoch: args.epoch,
        first: args.skip,
        count: args.count.into(),
        columns: args.columns.into(),
        cell: args.cell,
    };
    let sheet = browse(&loader, &classes, &options)?;
    write_picture(&args.output, &sheet).map_err(|source| DataError::Write { path: args.output.clone(), source })?;
    let shown = (args.count as usize).min(loader.len().saturating_sub(args.skip));
    writeln!(Out, "{shown} of {} images of {}: {}", loader.len(), split.key(), args.output.display())?;
    Ok(Outcome::Done)
}

/// The loader of a split, and its classes.
fn loader(e: &Experiment, split: Split) -> anyhow::Result<(Loader, ClassList)> {
    if e.task == Task::Classification {
        use classification::data::{eval_loader, open, train_loader};
        let folder = open(e, split, None)?;
        let names = folder.classes().iter().cloned().zip(0..).map(|(name, id)| (id, name));
        let classes = ClassList::new(names, LabelMode::Contiguous).map_err(bad_input)?;
        let loader = if split == Split::Train { train_loader(e, folder)? } else { eval_loader(e, folder)? };
        return Ok((loader, classes));
    }
    use detection::data::{eval_loader, open, train_loader};
    let data = open(e, split, None)?;
    let loader = if split == Split::Train { train_loader(e, &data)? } else { eval_loader(e, data.source)? };
    Ok((loader, data.dataset.classes.clone()))
}
