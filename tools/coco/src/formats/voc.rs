//! Pascal VOC: one XML file per image (Everingham et al. 2010, *The Pascal Visual Object Classes Challenge*).
//!
//! Coordinates are pixel numbers from 1, both ends included: `xmin = 1, xmax = W` covers the whole image, and becomes x = 0, width = W.
//! `difficult` objects are ignored, neither learned nor missed, as in VOC's own evaluation.

use std::path::{Path, PathBuf};

use roxmltree::Node;

use super::xml::{child, line_of, number, parse, text};
use super::{files, line, read_text, Format, ImageEntry, ObjectEntry, Place, Records};
use crate::annotations::{AnnotationError, Problem};

const NAME: &str = "voc";

/// The row of the table.
pub const FORMAT: Format = Format { name: NAME, expects: "a folder of XML files, or one that holds Annotations/", fits, read };

fn fits(path: &Path) -> bool {
    path.is_dir() && files(&annotations(path), &["xml"]).is_ok_and(|files| !files.is_empty())
}

/// The folder of the XML files.
fn annotations(path: &Path) -> PathBuf {
    let inner = path.join("Annotations");
    if inner.is_dir() {
        inner
    } else {
        path.to_path_buf()
    }
}

/// The image folder: as given, VOC's own, or where the XML files are.
fn images(place: &Place) -> PathBuf {
    let annotations = annotations(place.annotations);
    let usual = annotations.parent().map(|set| set.join("JPEGImages")).filter(|folder| folder.is_dir());
    place.images.map(Path::to_path_buf).or(usual).unwrap_or(annotations)
}

fn read(place: &Place) -> Result<Records, AnnotationError> {
    let mut records = Records { root: images(place), ..Records::default() };
    for path in files(&annotations(place.annotations), &["xml"])? {
        let content = read_text(&path)?;
        let document = parse(&path, NAME, &content)?;
        read_image(&path, document.root_element(), &mut records);
    }
    records.sort_categories();
    Ok(records)
}

fn read_image(path: &Path, root: Node, records: &mut Records) {
    let here = line(path, line_of(&root));
    if !root.has_tag_name("annotation") {
        return records
            .report(Problem::Untranslatable(format!("<{}> where <annotation> is expected", root.tag_name().name())), here);
    }
    let side = |name| child(root, "size").and_then(|size| number(size, name)).filter(|v| *v >= 1.0 && v.fract() == 0.0);
    let (Some(width), Some(height)) = (side("width"), side("height")) else {
        return records.report(Problem::Untranslatable("no <size> with a width and a height above 0".into()), here);
    };
    let file_name = match text(root, "filename") {
        "" => return records.report(Problem::Untranslatable("no <filename>".into()), here),
        name => name.to_string(),
    };
    let image = records.images.len();
    records.images.push(ImageEntry { file_name, width: width as u32, height: height as u32 });
    for object in root.children().filter(|n| n.has_tag_name("object")) {
        let place = line(path, line_of(&object));
        let name = text(object, "name");
        let corner = |name| child(object, "bndbox").and_then(|b| number(b, name));
        match [corner("xmin"), corner("ymin"), corner("xmax"), corner("ymax")] {
            [Some(left), Some(top), Some(right), Some(bottom)] if !name.is_empty() => {
                let category = records.category(name);
                let bbox = [left - 1.0, top - 1.0, right - left + 1.0, bottom - top + 1.0];
                let ignored = text(object, "difficult") == "1";
                records.objects.push(ObjectEntry { image, category, bbox, polygons: Vec::new(), ignored, place });
            }
            _ if name.is_empty() => records.report(Problem::Untranslatable("an <object> without a <name>".into()), place),
            _ => records.report(Problem::Untranslatable(format!("{name}: no <bndbox> with four numbers")), place),
        }
    }
}
