//! LabelMe: one JSON file per image, with its shapes.
//!
//! Polygons and rectangles are read; circles, lines and points are findings. Shapes of one `group_id` and label are one object, as
//! LabelMe's own converter to COCO has it.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::{around, files, line, read_text, Format, ImageEntry, ObjectEntry, Place, Records};
use crate::annotations::{AnnotationError, Problem};

const NAME: &str = "labelme";

/// The row of the table.
pub const FORMAT: Format = Format { name: NAME, expects: "a folder of LabelMe's JSON files", fits, read };

/// A file without its embedded image.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    shapes: Vec<Shape>,
    image_path: Option<String>,
    image_width: Option<u32>,
    image_height: Option<u32>,
}

#[derive(Deserialize)]
struct Shape {
    label: String,
    points: Vec<[f64; 2]>,
    group_id: Option<i64>,
    #[serde(default)]
    shape_type: String,
}

fn fits(path: &Path) -> bool {
    // One look into the first file: a folder may hold other JSON.
    let first = files(path, &["json"]).ok().and_then(|files| files.into_iter().next());
    first.and_then(|file| read_text(&file).ok()).is_some_and(|text| text.contains("\"shapes\"") && text.contains("\"imagePath\""))
}

fn read(place: &Place) -> Result<Records, AnnotationError> {
    let root = place.images.unwrap_or(place.annotations).to_path_buf();
    let mut records = Records { root, ..Records::default() };
    for path in files(place.annotations, &["json"])? {
        let text = read_text(&path)?;
        match serde_json::from_str(&text) {
            Ok(file) => read_file(&path, &text, file, &mut records),
            Err(e) => records.report(Problem::Untranslatable(e.to_string()), line(&path, e.line())),
        }
    }
    records.sort_categories();
    Ok(records)
}

fn read_file(path: &Path, text: &str, file: File, records: &mut Records) {
    let here = path.display().to_string();
    let (Some(width), Some(height)) = (file.image_width.filter(|v| *v > 0), file.image_height.filter(|v| *v > 0)) else {
        return records.report(Problem::Untranslatable("imageWidth or imageHeight is missing".into()), here);
    };
    let Some(file_name) = file.image_path.as_deref().map(name_below).filter(|n| !n.is_empty()) else {
        return records.report(Problem::Untranslatable("imagePath is missing".into()), here);
    };
    let image = records.images.len();
    records.images.push(ImageEntry { file_name, width, height });
    let lines = lines_of_labels(text);
    let mut groups: HashMap<(i64, String), usize> = HashMap::new();
    for (number, shape) in file.shapes.into_iter().enumerate() {
        let place = lines.get(number).map_or(here.clone(), |at| line(path, *at));
        let outline: Vec<f64> = match (shape.shape_type.as_str(), shape.points.as_slice()) {
            ("polygon" | "", points) if points.len() >= 3 => points.iter().flatten().copied().collect(),
            ("rectangle", [[a, b], [c, d]]) => vec![*a, *b, *c, *b, *c, *d, *a, *d],
            ("rectangle", [a, b, c, d]) => [a, b, c, d].into_iter().flatten().copied().collect(),
            ("polygon" | "rectangle" | "", points) => {
                let problem = format!("{}: a {} of {} points", shape.label, shape.shape_type, points.len());
                records.report(Problem::Untranslatable(problem), place);
                continue;
            }
            (other, _) => {
                let problem = format!("{}: {other}: only polygons and rectangles can be learned", shape.label);
                records.report(Problem::Untranslatable(problem), place);
                continue;
            }
        };
        let known = shape.group_id.and_then(|id| groups.get(&(id, shape.label.clone())).copied());
        if let Some(object) = known.and_then(|index| records.objects.get_mut(index)) {
            object.polygons.push(outline);
            object.bbox = around(&object.polygons);
            continue;
        }
        if let Some(id) = shape.group_id {
            groups.insert((id, shape.label.clone()), records.objects.len());
        }
        let category = records.category(&shape.label);
        let polygons = vec![outline];
        records.objects.push(ObjectEntry { image, category, bbox: around(&polygons), polygons, ignored: false, place });
    }
}

/// LabelMe writes paths relative to its JSON file, on Windows with backslashes, and often `../images/a.jpg`: what counts is the part
/// below the image folder.
fn name_below(path: &str) -> String {
    let path = path.replace('\\', "/");
    let parts: Vec<&str> = path.split('/').collect();
    match parts.iter().rposition(|part| *part == "..") {
        Some(_) => parts.last().copied().unwrap_or_default().to_string(),
        None => path,
    }
}

/// The lines with a `"label"` key, which each shape has once.
fn lines_of_labels(text: &str) -> Vec<usize> {
    let lines = text.lines().enumerate();
    lines.flat_map(|(i, line)| std::iter::repeat_n(i + 1, line.matches("\"label\"").count())).collect()
}
