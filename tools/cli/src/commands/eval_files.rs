//! `eval` of detections that are already in a file: needs no network.

use std::fmt;
use std::path::PathBuf;

use repghost_coco::judge::thresholds::{Goal, Thresholds};
use repghost_coco::judge::{choose, diagnose};
use repghost_coco::metrics::{write_metrics_with, MetricError};
use repghost_coco::{evaluate, read_detections, AnnotationError, Dataset, DatasetOptions, Detection, IouType};
use serde_json::{Map, Value};

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

    /// Print where the detector is wrong in six lines: error types, confusion, calibration, sizes, classes, images. All of it goes into
    /// metrics.json.
    #[arg(long)]
    pub diagnose: bool,

    /// Choose score thresholds: f1, precision=0.95 or recall=0.9. They go into thresholds.json, in --output and in the run folder, and
    /// `predict` and `export` apply them.
    #[arg(long, value_name = "GOAL")]
    pub choose: Option<Goal>,

    /// A threshold for each class that has enough objects, not one for all.
    #[arg(long, requires = "choose")]
    pub per_class: bool,

    /// Print precision and recall at the thresholds of a thresholds.json.
    #[arg(long, value_name = "FILE", conflicts_with = "choose")]
    pub thresholds: Option<PathBuf>,
}

impl Args {
    /// Diagnosis and thresholds of detections, as the options ask.
    ///
    /// # Errors
    /// A goal that no threshold reaches, a thresholds file that is none.
    pub fn judge(
        &self,
        truth: &Dataset,
        detections: &[Detection],
        types: &[IouType],
        warn: &mut dyn FnMut(String),
    ) -> Result<Judged, Failure> {
        let mut judged = Judged::default();
        if self.diagnose {
            let mut by_type = Map::new();
            for &iou_type in types {
                let diagnosis = diagnose(truth, detections, iou_type, None)?;
                judged.text += &format!("\n{}\n", iou_type.name());
                diagnosis.lines().iter().for_each(|line| judged.text += &format!("{line}\n"));
                let value = serde_json::to_value(&diagnosis).map_err(|e| Failure(e.to_string()))?;
                by_type.insert(iou_type.name().to_owned(), value);
            }
            judged.further.push(("diagnosis", by_type.into()));
        }
        // Masks come last and decide where there are some.
        let Some(&iou_type) = types.last() else { return Ok(judged) };
        if let Some(goal) = self.choose {
            let chosen = choose(truth, detections, iou_type, goal, self.per_class)
                .map_err(|e| Failure(format!("--choose {goal}: {}", e.reason())))?;
            judged.text += &format!("\n{}", chosen.text());
            warn(
                "thresholds were chosen and measured on the same images, which flatters them; `eval --thresholds thresholds.json` \
                 measures them on others"
                    .into(),
            );
            judged.thresholds = Some(chosen);
        }
        if let Some(path) = &self.thresholds {
            let failed = |e: &dyn fmt::Display| Failure(format!("{}: {e}", path.display()));
            let thresholds = Thresholds::read(path).map_err(|e| failed(&e))?;
            let shown: Vec<Detection> = thresholds.apply(truth, detections);
            let counts = repghost_coco::judge::thresholds::measure(truth, &shown, iou_type, 0.0)?;
            judged.text += &format!(
                "\nat the thresholds of {} ({}): precision {:.4}, recall {:.4}, F1 {:.4}\n",
                path.display(),
                thresholds.goal,
                counts.precision(),
                counts.recall(),
                counts.f1()
            );
            if thresholds.annotations == truth.path.display().to_string() {
                warn(format!("{}: chosen on these very images, which flatters precision and recall", path.display()));
            }
        }
        Ok(judged)
    }
}

/// What the options add to the numbers.
#[derive(Debug, Default)]
pub struct Judged {
    /// For the terminal.
    pub text: String,
    /// For metrics.json.
    pub further: Vec<(&'static str, Value)>,
    /// What was chosen.
    pub thresholds: Option<Thresholds>,
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

impl From<MetricError> for Failure {
    fn from(error: MetricError) -> Self {
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
    let evaluations = types.iter().map(|&iou_type| evaluate(&truth, &found, iou_type)).collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    if !args.summary {
        for evaluation in &evaluations {
            text.push_str(&tables::classes(evaluation));
            text.push('\n');
        }
    }
    text.push_str(&tables::numbers(&evaluations));
    let judged = args.judge(&truth, &found, &types, warn)?;
    text.push_str(&judged.text);
    if let Some(folder) = &args.output {
        let path = folder.join("metrics.json");
        let failed =
            |path: &std::path::Path, e: &dyn fmt::Display| Failure(format!("{}: cannot be written: {e}", path.display()));
        write_metrics_with(&path, &evaluations, &judged.further).map_err(|e| failed(&path, &e))?;
        if let Some(thresholds) = &judged.thresholds {
            let path = folder.join("thresholds.json");
            thresholds.write(&path).map_err(|e| failed(&path, &e))?;
        }
    }
    Ok(text)
}
