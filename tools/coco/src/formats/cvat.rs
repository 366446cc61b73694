//! "CVAT for images" 1.1: one XML file for the whole set.
//!
//! Boxes and polygons are read. Other shapes (points, polylines, ellipses, cuboids, masks) have no box to learn from, or one that CVAT
//! writes in a form of its own; each is a finding.

use std::path::Path;

use roxmltree::Node;

use super::xml::{child, line_of, parse, text};
use super::{around, line, read_text, Format, ImageEntry, ObjectEntry, Place, Records};
use crate::annotations::{AnnotationError, Problem};

const NAME: &str = "cvat";

/// The row of the table.
pub const FORMAT: Format = Format { name: NAME, expects: "the XML file of an export as \"CVAT for images\"", fits, read };

/// Elements of an image that are no shapes.
const NO_SHAPES: [&str; 1] = ["tag"];

fn fits(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("xml")) && path.is_file()
}

fn read(place: &Place) -> Result<Records, AnnotationError> {
    let path = place.annotations;
    let content = read_text(path)?;
    let document = parse(path, NAME, &content)?;
    let root = document.root_element();
    if !root.has_tag_name("annotations") {
        let reason = format!("its root is <{}>, <annotations> is expected", root.tag_name().name());
        return Err(AnnotationError::Format { path: path.to_owned(), format: NAME, reason });
    }
    let beside = path.parent().unwrap_or(Path::new(""));
    let usual = Some(beside.join("images")).filter(|folder| folder.is_dir());
    let folder = place.images.map(Path::to_path_buf).or(usual).unwrap_or_else(|| beside.to_path_buf());
    let mut records = Records { root: folder, ..Records::default() };
    // The labels of the task, in its order; a project's file lists them elsewhere.
    let labels = root.descendants().filter(|n| n.has_tag_name("labels")).flat_map(|n| n.children());
    for label in labels.filter(|n| n.has_tag_name("label")) {
        records.category(text(label, "name"));
    }
    let listed = !records.categories.is_empty();
    for image in root.children().filter(|n| n.has_tag_name("image")) {
        read_image(path, image, &mut records);
    }
    if child(root, "track").is_some() {
        let problem = Problem::Untranslatable("tracks of a video; export it as \"CVAT for images\"".into());
        records.report(problem, path.display().to_string());
    }
    if !listed {
        records.sort_categories();
    }
    Ok(records)
}

fn read_image(path: &Path, element: Node, records: &mut Records) {
    let here = line(path, line_of(&element));
    let side = |name| element.attribute(name).and_then(|v| v.parse::<u32>().ok()).filter(|v| *v > 0);
    let (Some(name), Some(width), Some(height)) = (element.attribute("name"), side("width"), side("height")) else {
        return records.report(Problem::Untranslatable("an <image> without name, width or height".into()), here);
    };
    let image = records.images.len();
    records.images.push(ImageEntry { file_name: name.to_string(), width, height });
    for shape in element.children().filter(|n| n.is_element() && !NO_SHAPES.contains(&n.tag_name().name())) {
        let place = line(path, line_of(&shape));
        let kind = shape.tag_name().name();
        let Some(label) = shape.attribute("label").filter(|l| !l.is_empty()) else {
            records.report(Problem::Untranslatable(format!("a <{kind}> without a label")), place);
            continue;
        };
        let found = match kind {
            "box" => corners(shape).map(|[left, top, right, bottom]| ([left, top, right - left, bottom - top], Vec::new())),
            "polygon" => points(shape).map(|outline| {
                let polygons = vec![outline];
                (around(&polygons), polygons)
            }),
            other => Err(format!("{other}: only boxes and polygons can be learned")),
        };
        match found {
            Ok((bbox, polygons)) => {
                let category = records.category(label);
                records.objects.push(ObjectEntry { image, category, bbox, polygons, ignored: false, place });
            }
            Err(reason) => records.report(Problem::Untranslatable(format!("{label}: {reason}")), place),
        }
    }
}

fn corners(shape: Node) -> Result<[f64; 4], String> {
    let read = |name| shape.attribute(name).and_then(|v| v.parse().ok()).ok_or_else(|| format!("{name} is no number"));
    Ok([read("xtl")?, read("ytl")?, read("xbr")?, read("ybr")?])
}

/// `x,y;x,y;…`
fn points(shape: Node) -> Result<Vec<f64>, String> {
    let text = shape.attribute("points").unwrap_or_default();
    let numbers: Vec<Option<f64>> = text.split([';', ',']).map(|v| v.trim().parse().ok()).collect();
    match numbers.iter().copied().collect::<Option<Vec<f64>>>() {
        Some(numbers) if numbers.len() >= 6 && numbers.len() % 2 == 0 => Ok(numbers),
        _ => Err("points are no list of three or more x,y pairs".into()),
    }
}
