//! One set on the command line, read as a whole.

use std::path::{Path, PathBuf};

use repghost_coco::edit::Document;
use repghost_coco::{OnBadAnnotation, Place};

/// Arguments that name a set.
#[derive(Debug, clap::Args)]
pub struct DocumentArgs {
    /// COCO JSON file, data.yaml or label folder (YOLO), folder of XML (Pascal VOC) or of JSON (LabelMe), or CVAT's XML file.
    #[arg(long, value_name = "FILE|DIR")]
    annotations: PathBuf,

    /// Image folder, where it is not where the format has it.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,

    /// Part of a set that holds several: train, val, test.
    #[arg(long, value_name = "PART")]
    split: Option<String>,

    /// Leave out annotations that training would refuse, and count them. Of a COCO file only what training reads is kept then.
    #[arg(long)]
    drop_bad: bool,
}

impl DocumentArgs {
    /// Reads the set.
    pub fn read(&self) -> anyhow::Result<Document> {
        read(&self.annotations, self.images.as_deref(), self.split.as_deref(), self.drop_bad)
    }
}

/// Reads a set, and warns about what was left out.
pub fn read(annotations: &Path, images: Option<&Path>, split: Option<&str>, drop_bad: bool) -> anyhow::Result<Document> {
    let on_bad = if drop_bad { OnBadAnnotation::Drop } else { OnBadAnnotation::Error };
    let document = Document::read(&Place { annotations, images, split }, on_bad)?;
    let (count, first) = &document.left_out;
    if *count > 0 {
        let first: Vec<String> = first.iter().map(ToString::to_string).collect();
        tracing::warn!("{}: {count} bad annotations are left out ({}, …)", annotations.display(), first.join("; "));
    }
    Ok(document)
}
