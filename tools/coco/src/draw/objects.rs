//! Boxes, masks, names and scores on an image.

use image::RgbImage;

use super::text::{blend, draw_text, text_width};
use super::{colour, readable_on};
use crate::annotations::{Annotation, ClassList};
use crate::detections::Detection;
use crate::mask::MaskShape;
use crate::types::InstanceMask;

/// An object as it is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct DrawnObject {
    /// Corners x1, y1, x2, y2 in pixels.
    pub bbox: [f32; 4],
    /// The label; empty for none.
    pub text: String,
    /// Colour of box, mask and label.
    pub colour: [u8; 3],
    /// The mask.
    pub mask: Option<InstanceMask>,
}

/// How objects are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Thickness of the boxes in pixels.
    pub line: u32,
    /// Height of the text in pixels; 0 for no text.
    pub text: f32,
    /// Opacity of masks, from 0 to 1.
    pub mask: f32,
}

impl Style {
    /// What suits an image of this size.
    pub fn for_size(width: u32, height: u32) -> Self {
        let side = width.min(height) as f32;
        Style { line: (side / 240.0).ceil().clamp(1.0, 6.0) as u32, text: (side / 28.0).clamp(11.0, 40.0), mask: 0.45 }
    }
}

/// Draws objects: masks first, then boxes, then labels, so that no label is painted over.
pub fn draw_objects(image: &mut RgbImage, objects: &[DrawnObject], style: &Style) {
    for object in objects {
        if let Some(mask) = &object.mask {
            draw_mask(image, mask, object.colour, style.mask);
        }
    }
    for object in objects {
        draw_box(image, object.bbox, object.colour, style.line);
    }
    let mut taken: Vec<[f32; 4]> = Vec::new();
    for object in objects.iter().filter(|object| style.text > 0.0 && !object.text.is_empty()) {
        draw_label(image, object, style, &mut taken);
    }
}

/// Ground truth as drawn objects: outlines filled, crowds marked.
pub fn of_annotations(annotations: &[Annotation], classes: &ClassList, height: u32, width: u32) -> Vec<DrawnObject> {
    annotations
        .iter()
        .enumerate()
        .map(|(number, object)| {
            let [x, y, w, h] = object.bbox.map(|v| v as f32);
            let crowd = if object.iscrowd { " (crowd)" } else { "" };
            DrawnObject {
                bbox: [x, y, x + w, y + h],
                text: format!("{}{crowd}", classes.name(object.label)),
                colour: colour(pick(classes, object.category_id, number)),
                mask: MaskShape::new(&object.segmentation).map(|shape| shape.rasterise(height, width)),
            }
        })
        .collect()
}

/// Detections of one image as drawn objects, best last, those below `threshold` left out.
pub fn of_detections(detections: &[Detection], classes: &ClassList, threshold: f64) -> Vec<DrawnObject> {
    let mut shown: Vec<&Detection> = detections.iter().filter(|detection| detection.score >= threshold).collect();
    shown.sort_by(|a, b| a.score.total_cmp(&b.score));
    let object = |(number, detection): (usize, &Detection)| {
        let mask = detection.segmentation.as_ref();
        let [x, y, w, h] = detection.bbox.or_else(|| mask.map(|mask| mask.bbox())).unwrap_or_default().map(|v| v as f32);
        let class = classes.by_category(detection.category_id);
        let name = class.map_or_else(|| detection.category_id.to_string(), |class| class.name.clone());
        DrawnObject {
            bbox: [x, y, x + w, y + h],
            text: format!("{name} {:.2}", detection.score),
            colour: colour(pick(classes, detection.category_id, number)),
            mask: mask.map(InstanceMask::from_rle),
        }
    };
    shown.into_iter().enumerate().map(object).collect()
}

/// Classes have their colours; where there is one class only, instances have.
fn pick(classes: &ClassList, category_id: i64, number: usize) -> usize {
    match classes.len() {
        0 | 1 => number,
        _ => classes.iter().position(|class| class.category_id == category_id).unwrap_or(number),
    }
}

fn draw_mask(image: &mut RgbImage, mask: &InstanceMask, colour: [u8; 3], opacity: f32) {
    let [rows, columns] = mask.size;
    let set = |row: Option<usize>, column: Option<usize>| match (row, column) {
        (Some(row), Some(column)) if row < rows && column < columns => {
            mask.bits.get(row * columns + column).is_some_and(|&bit| bit != 0)
        }
        _ => false,
    };
    for row in 0..rows {
        for column in (0..columns).filter(|&column| set(Some(row), Some(column))) {
            let inner = set(row.checked_sub(1), Some(column))
                && set(Some(row + 1), Some(column))
                && set(Some(row), column.checked_sub(1))
                && set(Some(row), Some(column + 1));
            let at = [i64::from(mask.origin[0]) + column as i64, i64::from(mask.origin[1]) + row as i64];
            blend(image, at, colour, if inner { opacity } else { 1.0 });
        }
    }
}

fn draw_box(image: &mut RgbImage, bbox: [f32; 4], colour: [u8; 3], line: u32) {
    if bbox.iter().any(|v| !v.is_finite()) {
        return;
    }
    let line = i64::from(line);
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    let [x1, y1, x2, y2] = bbox.map(|v| v.round() as i64);
    let (x2, y2) = (x2.max(x1 + 1), y2.max(y1 + 1));
    // The frame lies inside the box, so that it stays visible on boxes that touch the border.
    let mut fill = |from: [i64; 2], to: [i64; 2]| {
        for y in from[1].max(0)..to[1].min(height) {
            for x in from[0].max(0)..to[0].min(width) {
                blend(image, [x, y], colour, 1.0);
            }
        }
    };
    fill([x1, y1], [x2, (y1 + line).min(y2)]);
    fill([x1, (y2 - line).max(y1)], [x2, y2]);
    fill([x1, y1], [(x1 + line).min(x2), y2]);
    fill([(x2 - line).max(x1), y1], [x2, y2]);
}

fn draw_label(image: &mut RgbImage, object: &DrawnObject, style: &Style, taken: &mut Vec<[f32; 4]>) {
    let (width, height) = (image.width() as f32, image.height() as f32);
    let padding = (style.text / 6.0).max(2.0).round();
    let (w, h) = (text_width(&object.text, style.text).ceil() + 2.0 * padding, (style.text * 1.15).ceil());
    let [x1, y1, x2, y2] = object.bbox;
    // Above the box, inside its top, below it, inside its bottom, at its right end: the first place that is free.
    let places = [[x1, y1 - h], [x1, y1], [x1, y2], [x1, y2 - h], [x2 - w, y1 - h], [x2 - w, y2]];
    let inside = |[x, y]: [f32; 2]| {
        let (x, y) = (x.min(width - w).max(0.0).floor(), y.min(height - h).max(0.0).floor());
        [x, y, x + w, y + h]
    };
    let free = |place: &[f32; 4]| !taken.iter().any(|t| t[0] < place[2] && place[0] < t[2] && t[1] < place[3] && place[1] < t[3]);
    let place = places.into_iter().map(inside).find(free).unwrap_or_else(|| inside(places[0]));
    for y in place[1] as i64..place[3] as i64 {
        for x in place[0] as i64..place[2] as i64 {
            blend(image, [x, y], object.colour, 0.85);
        }
    }
    draw_text(image, &object.text, [place[0] + padding, place[1]], style.text, readable_on(object.colour));
    taken.push(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_masks_and_labels_land_on_their_pixels() {
        let mut image = RgbImage::new(60, 40);
        let mask = InstanceMask { origin: [20, 20], size: [5, 5], bits: vec![1; 25] };
        let object = DrawnObject { bbox: [18.0, 18.0, 28.0, 28.0], text: String::new(), colour: [200, 100, 0], mask: Some(mask) };
        draw_objects(&mut image, &[object], &Style { line: 1, text: 11.0, mask: 0.5 });
        assert_eq!(image.get_pixel(18, 18).0, [200, 100, 0]);
        assert_eq!(image.get_pixel(27, 27).0, [200, 100, 0]);
        assert_eq!(image.get_pixel(28, 28).0, [0, 0, 0]);
        assert_eq!(image.get_pixel(20, 22).0, [200, 100, 0], "contour");
        assert_eq!(image.get_pixel(22, 22).0, [100, 50, 0], "translucent");
        assert_eq!(image.get_pixel(19, 19).0, [0, 0, 0], "between");
    }

    #[test]
    fn nothing_a_detector_gives_breaks_the_drawing() {
        let mut image = RgbImage::new(10, 10);
        let boxes = [[f32::NAN; 4], [-1e9, -5.0, 1e9, 3.0], [4.0, 4.0, 4.0, 4.0], [50.0, 50.0, 60.0, 60.0]];
        let objects: Vec<_> = boxes
            .iter()
            .map(|&bbox| DrawnObject { bbox, text: "a long name 0.99".into(), colour: [255, 0, 0], mask: None })
            .collect();
        draw_objects(&mut image, &objects, &Style::for_size(10, 10));
    }
}
