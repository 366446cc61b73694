//! `eval` of detections that are already in a file: needs no network, so the launcher does it alone.

use std::fmt;
use std::path::PathBuf;

use repghost_coco::metrics::write_metrics;
use repghost_coco::{evaluate, read_detections, AnnotationError, Dataset, DatasetOptions, IouType};

use crate::tables;

/// What is compared.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// COCO JSON file with the truth.
    #[arg(long, value_name = "FILE", requires = "detections")]
    pub annotations: Option<PathBuf>,

    /// COCO results: a JSON list of image_id, category_id, bbox or segmentation, score.
    #[arg(long, value_name = "FILE", requires = "annotations")]
    pub detections: Option<PathBuf>,

    /// What is compared.
    #[arg(long, value_name = "TYPE,…", value_delimiter = ',', value_parser = ["bbox", "segm"], default_value = "bbox")]
    pub iou_type: Vec<String>,

    /// Names of the classes to evaluate; all where this is left out.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub classes: Option<Vec<String>>,

    /// Folder for metrics.json and, with --weights, detections.json and precision-recall plots.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Leave the table of classes out.
    #[arg(long)]
    pub summary: bool,
}

/// Why there are no numbers: a file that cannot be read, used or written. One line.
#[derive(Debug)]
pub struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<AnnotationError> for Failure {
    fn from(error: AnnotationError) -> Self {
        Self(error.to_string())
    }
}

/// The tables, as text. Writes `metrics.json` where a folder is given.
///
/// # Errors
/// Files that are missing or damaged; a folder that cannot be written to.
pub fn run(args: &Args, warn: &mut dyn FnMut(String)) -> Result<String, Failure> {
    let (Some(annotations), Some(detections)) = (&args.annotations, &args.detections) else {
        return Err(Failure("eval needs --annotations FILE and --detections FILE".into()));
    };
    let types: Vec<IouType> = [IouType::Bbox, IouType::Segm]
        .into_iter()
        .filter(|iou_type| args.iou_type.iter().any(|name| name == iou_type.name()))
        .collect();
    let options = DatasetOptions {
        classes: args.classes.clone(),
        segmentations: types.contains(&IouType::Segm),
        ..DatasetOptions::default()
    };
    let truth = Dataset::load(annotations, &options)?;
    let found = read_detections(detections, &truth)?;
    if found.is_empty() {
        warn(format!("{}: no detections of the evaluated classes; the numbers are zeros", detections.display()));
    }
    let evaluations = types.into_iter().map(|iou_type| evaluate(&truth, &found, iou_type)).collect::<Result<Vec<_>, _>>();
    let evaluations = evaluations.map_err(|error| Failure(error.to_string()))?;
    let mut text = String::new();
    if !args.summary {
        for evaluation in &evaluations {
            text.push_str(&tables::classes(evaluation));
            text.push('\n');
        }
    }
    text.push_str(&tables::numbers(&evaluations));
    if let Some(folder) = &args.output {
        let path = folder.join("metrics.json");
        write_metrics(&path, &evaluations).map_err(|e| Failure(format!("{}: cannot be written: {e}", path.display())))?;
    }
    Ok(text)
}
