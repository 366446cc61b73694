//! A set in another format, by hotcoco's writers.

use std::path::Path;

use hotcoco::convert::{coco_to_cvat, coco_to_voc, coco_to_yolo};

use super::{file_name, Document};
use crate::annotations::AnnotationError;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One JSON file with everything.
    Coco,
    /// `data.yaml` and `labels/*.txt`: boxes.
    Yolo,
    /// `Annotations/*.xml`: boxes.
    Voc,
    /// One XML file: boxes and polygons.
    Cvat,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Images.
    pub images: usize,
    /// Objects.
    pub objects: usize,
    /// What the format cannot hold, in words; empty where nothing is lost.
    pub lost: Vec<String>,
}

/// Writes a set. `output` is a file for COCO and CVAT, a new folder for YOLO and VOC.
///
/// # Errors
/// A place that cannot be written to or is there already; file names with folders, which the label files of YOLO and VOC lack.
pub fn convert(document: &Document, target: Target, output: &Path) -> Result<Written, AnnotationError> {
    let failed = |reason: String| AnnotationError::Format { path: output.to_owned(), format: "a place to convert to", reason };
    let io = |source| AnnotationError::Write { path: output.to_owned(), source };
    if target == Target::Coco {
        document.write(output)?;
        return Ok(Written { images: document.images.len(), objects: document.annotations.len(), lost: vec![] });
    }
    if output.exists() {
        return Err(failed("is there already; name another".into()));
    }
    let nested = document.images.iter().map(file_name).find(|name| name.contains('/'));
    if let Some(name) = nested.filter(|_| target != Target::Cvat) {
        return Err(failed(format!(
            "{name} is in a folder, which the files of this format cannot express; COCO and CVAT keep it"
        )));
    }
    let set: hotcoco::Dataset = serde_json::from_value(document.to_json()).map_err(|e| failed(e.to_string()))?;
    let parent = output.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(io)?;
    // Beside the target, and renamed when everything is there.
    let beside = tempfile::Builder::new().prefix(".convert.").tempdir_in(parent).map_err(io)?;
    let new = beside.path().join("new");
    let masks = document
        .annotations
        .iter()
        .filter(|a| a.get("segmentation").is_some_and(|s| s.as_array().is_none_or(|a| !a.is_empty())))
        .count();
    let mut lost = vec![];
    let mut lose = |count: usize, what: &str| {
        if count > 0 {
            lost.push(format!("{count} {what}"));
        }
    };
    let objects = match target {
        Target::Coco => 0,
        Target::Yolo => {
            let labels = new.join("labels");
            let stats = coco_to_yolo(&set, &labels).map_err(|e| failed(e.to_string()))?;
            std::fs::rename(labels.join("data.yaml"), new.join("data.yaml")).map_err(io)?;
            lose(masks, "outlines: boxes are written");
            lose(stats.skipped_crowd, "crowds");
            lose(stats.skipped_no_bbox, "objects without a box");
            stats.annotations
        }
        Target::Voc => {
            let stats = coco_to_voc(&set, &new).map_err(|e| failed(e.to_string()))?;
            lose(masks, "outlines: boxes are written, in whole pixels");
            lose(stats.crowd_as_difficult, "crowds: they become difficult objects");
            lose(stats.skipped_no_bbox, "objects without a box");
            stats.annotations
        }
        Target::Cvat => {
            let stats = coco_to_cvat(&set, &new).map_err(|e| failed(e.to_string()))?;
            let rles = document.annotations.iter().filter(|a| a.get("segmentation").is_some_and(|s| s.is_object())).count();
            lose(rles, "run-length masks: boxes are written");
            lose(stats.skipped_no_geometry, "objects without a box");
            lose(stats.skipped_degenerate, "polygons of fewer than three points");
            stats.boxes + stats.polygons
        }
    };
    std::fs::rename(&new, output).map_err(io)?;
    Ok(Written { images: document.images.len(), objects, lost })
}
