//! `data shard`: images in tar archives.

use std::path::PathBuf;
use std::sync::Mutex;

use rand::seq::SliceRandom;
use rand::SeedableRng;
use repghost_coco::classify::{Classes, ImageFolder};
use repghost_coco::decode::{is_there, resolve};
use repghost_coco::files::write_atomic;
use repghost_coco::shards::{write_shards, Bytes, Member, NAMES};
use repghost_coco::{DataError, Dataset, DatasetOptions, DecodeConfig, Place};

use crate::bad_input::bad_input;
use crate::commands::counter::Counter;
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a detection set:  repghost-det data shard --annotations instances_train.json --images train/ --output shards/train
  a class tree:     repghost-det data shard --images imagenet/train --output shards/train --size-mb 512
  then train:       repghost-det train retinanet data.train.images=shards/train data.train.annotations=instances_train.json data.shard_window=8 …

Images go into the archives as they are, in a random order, so that a window of some shards is a fair sample. Of a class tree each image has
a NAME.cls with the number of its class, and classes.txt has the names (WebDataset's layout). Whatever reads WebDataset reads them.";

/// Arguments of `data shard`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image folder; without --annotations a folder of one folder per class.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,

    /// COCO JSON file whose images are stored; the file itself stays where it is.
    #[arg(long, value_name = "FILE")]
    annotations: Option<PathBuf>,

    /// New folder for shard-000000.tar, …
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Size of an archive in MB, at most.
    #[arg(long, value_name = "MB", default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=65536))]
    size_mb: u64,

    /// Of the random order.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

/// Runs `data shard`.
pub fn run(args: Args, quiet: bool) -> anyhow::Result<Outcome> {
    let mut names = vec![];
    let mut groups = match &args.annotations {
        Some(annotations) => images_of(annotations, &args)?,
        None => classes_of(&args, &mut names)?,
    };
    groups.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(args.seed));
    let recipe = format!("{} {:?} {} {} {}", args.images.display(), args.annotations, args.size_mb, args.seed, groups.len());
    let shown = Mutex::new(Counter::new("storing", quiet));
    let written = write_shards(&args.output, &groups, args.size_mb * 1_000_000, &recipe, &|done, total| {
        if let Ok(mut shown) = shown.lock() {
            shown.update(done, total);
        }
    });
    if let Ok(shown) = shown.lock() {
        shown.clear();
    }
    let written = written?;
    if !names.is_empty() {
        let path = args.output.join(NAMES);
        write_atomic(&path, (names.join("\n") + "\n").as_bytes()).map_err(|source| DataError::Write { path, source })?;
    }
    let (shards, images, mb) = (written.shards, groups.len(), written.bytes as f64 / 1e6);
    println!("{images} images in {shards} shards, {mb:.1} MB: {}", args.output.display());
    Ok(Outcome::Done)
}

/// The images that an annotation file names, each alone, under the names that it has there.
fn images_of(annotations: &std::path::Path, args: &Args) -> anyhow::Result<Vec<Vec<Member>>> {
    let place = Place { annotations, images: Some(&args.images), split: None };
    let (dataset, _) = Dataset::open(&place, &DatasetOptions { keep_empty_images: true, ..Default::default() })?;
    let mut groups = vec![];
    for image in &dataset.images {
        let path = resolve(&args.images, &image.file_name)?;
        if !is_there(&path) {
            return Err(bad_input(format!("{} is missing", path.display())));
        }
        groups.push(vec![Member { name: image.file_name.replace('\\', "/"), bytes: Bytes::File(path) }]);
    }
    Ok(groups)
}

/// The images of a class tree, each with the number of its class.
fn classes_of(args: &Args, names: &mut Vec<String>) -> anyhow::Result<Vec<Vec<Member>>> {
    let folder = ImageFolder::open(&args.images, Classes::All, DecodeConfig::default())?;
    *names = folder.classes().to_vec();
    let group = |(path, label): (&std::path::Path, usize)| {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        // A key ends at its first dot.
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().replace('.', "_");
        let key = format!("{}/{stem}", names[label].replace('.', "_"));
        vec![
            Member { name: format!("{key}.{ending}"), bytes: Bytes::File(path.into()) },
            Member { name: format!("{key}.cls"), bytes: Bytes::Text(label.to_string()) },
        ]
    };
    Ok(folder.files().map(group).collect())
}
