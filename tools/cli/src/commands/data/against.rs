//! `data check --against`: images that two sets share.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use repghost_coco::duplicates::{shared_images, sheet, Images, Likeness, Shared};
use repghost_coco::files::write_picture;
use repghost_coco::{DataError, Dataset, DatasetOptions, OnBadAnnotation, Place};

use crate::bad_input::bad_input;
use crate::commands::counter::Counter;

/// Pairs on the sheet at most.
const PAIRS_SHOWN: usize = 60;
/// Side of a picture on the sheet.
const CELL: u32 = 220;

/// Arguments of `data check` about another set.
#[derive(Debug, clap::Args)]
pub struct AgainstArgs {
    /// Another set, as --annotations: list the images that both have, byte for byte or as another copy of the same picture.
    #[arg(long, value_name = "FILE|DIR")]
    against: Option<PathBuf>,

    /// Image folder of the other set, where it is not the same (or where its format has it).
    #[arg(long, value_name = "DIR", requires = "against")]
    against_images: Option<PathBuf>,

    /// Draw the shared images in pairs (PNG).
    #[arg(long, value_name = "FILE", requires = "against")]
    pairs: Option<PathBuf>,
}

impl AgainstArgs {
    /// Compares, where another set is named, and draws the pairs.
    ///
    /// # Errors
    /// Sets that cannot be read.
    pub fn compare(&self, annotations: &Path, images: Option<&Path>, quiet: bool) -> anyhow::Result<Option<Shared>> {
        let Some(against) = &self.against else { return Ok(None) };
        let options =
            DatasetOptions { on_bad_annotation: OnBadAnnotation::Drop, segmentations: false, ..DatasetOptions::default() };
        let open = |annotations: &Path, images: Option<&Path>| -> anyhow::Result<(Dataset, PathBuf)> {
            let (dataset, root) = Dataset::open(&Place { annotations, images, split: None }, &options)?;
            let root =
                root.ok_or_else(|| bad_input(format!("{}: --images has to name its image folder", annotations.display())))?;
            Ok((dataset, root))
        };
        let (first, first_root) = open(annotations, images)?;
        let (second, second_root) = open(against, self.against_images.as_deref().or(images))?;
        let shown = std::sync::Mutex::new(Counter::new("comparing", quiet));
        let update = |done, total| {
            if let Ok(mut shown) = shown.lock() {
                shown.update(done, total);
            }
        };
        let sets = [Images { dataset: &first, root: &first_root }, Images { dataset: &second, root: &second_root }];
        let found = shared_images(sets[0], sets[1], &update);
        if let Ok(shown) = shown.lock() {
            shown.clear();
        }
        for message in &found.unreadable {
            tracing::warn!("{message}");
        }
        if let Some(path) = self.pairs.as_ref().filter(|_| !found.pairs.is_empty()) {
            let sheet = sheet(&found.pairs, &first_root, &second_root, PAIRS_SHOWN, CELL)?;
            write_picture(path, &sheet).map_err(|source| DataError::Write { path: path.clone(), source })?;
            if found.pairs.len() > PAIRS_SHOWN {
                tracing::info!("{}: the first {PAIRS_SHOWN} of {} pairs", path.display(), found.pairs.len());
            }
        }
        Ok(Some(found))
    }
}

/// A line per pair, `shown` at most, and their numbers.
pub fn listing(found: &Shared, shown: usize) -> String {
    let mut text = String::new();
    for pair in found.pairs.iter().take(shown) {
        let words = match pair.likeness {
            Likeness::ByteEqual => "byte-equal".to_string(),
            Likeness::Near { correlation } => format!("near {correlation:.3}"),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "shared   {words:<12} {}  {}", pair.first, pair.second);
    }
    if found.pairs.len() > shown {
        let _ = writeln!(text, "shared   … {} more (--all lists them)", found.pairs.len() - shown);
    }
    let equal = found.equal();
    let _ = writeln!(text, "in both sets: {equal} byte-equal pairs, {} near-duplicate pairs", found.pairs.len() - equal);
    text
}
