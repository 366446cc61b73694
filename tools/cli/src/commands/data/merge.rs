//! `data merge`: several sets into one COCO file.

use std::path::PathBuf;

use repghost_coco::edit::merge;

use super::document::read;
use crate::bad_input::bad_input;
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  two files over one folder of images:  repghost-det data merge cats.json dogs.json --output both.json
  two sets with folders of their own:   repghost-det data merge a.json b.json --images a/images --images b/images --output both.json
  of any formats:                       repghost-det data merge instances.json yolo/data.yaml --images images --images yolo/train/images \\
                                          --output both.json

Classes are put together by name. The first set's ids stay; those of the others stay where they are free. An image that two files have
gets the objects of both. With folders, the file names are relative to the folder above them all, which the last line names.";

/// Arguments of `data merge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The sets, in any format.
    #[arg(value_name = "FILE|DIR", required = true, num_args = 2..)]
    sets: Vec<PathBuf>,

    /// Image folder of each set, in the order of the sets.
    #[arg(long, value_name = "DIR")]
    images: Vec<PathBuf>,

    /// The COCO file to write.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,

    /// Leave out annotations that training would refuse, and count them.
    #[arg(long)]
    drop_bad: bool,
}

/// Runs `data merge`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    if !args.images.is_empty() && args.images.len() != args.sets.len() {
        return Err(bad_input(format!(
            "--images is given {} times for {} sets; expected once per set",
            args.images.len(),
            args.sets.len()
        )));
    }
    let sets = args.sets.iter().enumerate();
    let read = |(i, set): (usize, &PathBuf)| read(set, args.images.get(i).map(PathBuf::as_path), None, args.drop_bad);
    let merged = merge(sets.map(read).collect::<anyhow::Result<Vec<_>>>()?)?;
    merged.document.write(&args.output)?;
    if !merged.added_classes.is_empty() {
        tracing::info!("classes that the first set lacks: {}", merged.added_classes.join(", "));
    }
    if merged.shared_images > 0 {
        tracing::info!("{} images are in several sets; they have the objects of all", merged.shared_images);
    }
    let [images, annotations] = merged.renumbered;
    tracing::info!("{images} images and {annotations} annotations have new ids");
    let document = &merged.document;
    println!(
        "{}: {} images, {} objects, {} classes",
        args.output.display(),
        document.images.len(),
        document.annotations.len(),
        document.categories.len()
    );
    if let Some(root) = &document.root {
        println!("images: {}", root.display());
    }
    Ok(Outcome::Done)
}
