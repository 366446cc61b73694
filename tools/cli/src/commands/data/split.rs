//! `data split`: a training and a validation part of a set.

use std::fmt::Write as _;
use std::path::PathBuf;

use repghost_coco::edit::{split, Grouping, Split, SplitOptions};

use super::document::DocumentArgs;
use crate::bad_input::bad_input;
use crate::exit::Outcome;

/// Worked examples for `--help`.
pub const EXAMPLES: &str = "\
Examples:
  a fifth to measure on:         repghost-det data split --annotations all.json --output split/ --stratify
  frames of a video together:    repghost-det data split --annotations all.json --output split/ --by video
  pictures of a patient (p12_…): repghost-det data split --annotations all.json --output split/ --by 'regex:^(p[0-9]+)_' --stratify

Writes DIR/train.json and DIR/val.json with the same file names; images stay where they are. No group is on both sides. With --stratify
each class has its share on both sides, as far as the groups allow; the table shows it. The same seed gives the same split.";

/// Arguments of `data split`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    set: DocumentArgs,

    /// Folder for train.json and val.json.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Share of the images to measure on.
    #[arg(long, value_name = "SHARE", default_value_t = 0.2)]
    val: f64,

    /// What stays together: image (nothing), folder, video (names but for the number at their end), or regex:PATTERN.
    #[arg(long, value_name = "WHAT", default_value = "image", value_parser = Grouping::parse)]
    by: Grouping,

    /// Give each class the same share.
    #[arg(long)]
    stratify: bool,

    /// Seed of the draw.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

/// Runs `data split`.
pub fn run(args: Args) -> anyhow::Result<Outcome> {
    if !(args.val > 0.0 && args.val < 1.0) {
        return Err(bad_input(format!("--val {}: expected a share between 0 and 1, such as 0.2", args.val)));
    }
    let files = ["train.json", "val.json"].map(|name| args.output.join(name));
    if let Some(there) = files.iter().find(|file| file.exists()) {
        return Err(bad_input(format!("{}: is there already; name another --output, or delete it", there.display())));
    }
    let document = args.set.read()?;
    let options = SplitOptions { val: args.val, grouping: args.by, stratify: args.stratify, seed: args.seed };
    let parts = split(&document, &options)?;
    if let Some(first) = parts.without_group.first() {
        let count = parts.without_group.len();
        tracing::warn!("{count} images match nothing of --by, and each is a group of its own (the first: {first})");
    }
    parts.train.write(&files[0])?;
    parts.val.write(&files[1])?;
    print!("{}", table(&parts));
    println!("{}\n{}", files[0].display(), files[1].display());
    if let Some(root) = &document.root {
        println!("images: {}", root.display());
    }
    Ok(Outcome::Done)
}

// Writing into a string cannot fail, hence the `let _`.
fn table(parts: &Split) -> String {
    let widest = parts.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0).clamp(6, 30);
    let mut text = format!("{:<widest$}{:>10}{:>10}{:>9}\n", "", "train", "val", "in val");
    let mut row = |name: &str, [train, val]: [usize; 2]| {
        let share = 100.0 * val as f64 / (train + val).max(1) as f64;
        let _ = writeln!(text, "{name:<widest$}{train:>10}{val:>10}{share:>7.1} %");
    };
    row("groups", parts.groups);
    row("images", [parts.train.images.len(), parts.val.images.len()]);
    row("objects", [parts.train.annotations.len(), parts.val.annotations.len()]);
    let _ = writeln!(text, "images with a class:");
    for class in &parts.classes {
        let share = 100.0 * class.images[1] as f64 / (class.images[0] + class.images[1]).max(1) as f64;
        let _ = writeln!(text, "{:<widest$}{:>10}{:>10}{share:>7.1} %", class.name, class.images[0], class.images[1]);
    }
    text
}
