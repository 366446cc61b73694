//! Suspects as pictures: the place in the image with the label and the detection that contradicts it.

use std::path::Path;

use image::{imageops, RgbImage};

use super::suspects::Suspect;
use crate::annotations::Dataset;
use crate::decode::{read_image, resolve, DecodeConfig};
use crate::draw::{colour, contact_sheet, draw_objects, enlarge_image, enlargement, DrawnObject, Style, Tile};
use crate::error::DataError;

/// Side of a picture in pixels.
const CELL: u32 = 260;
/// Pictures in a row.
const COLUMNS: usize = 4;
/// Surroundings that are shown: a multiple of the boxes' longer side.
const AROUND: f64 = 0.75;
/// Places in the palette: labels orange, detections blue.
const LABEL: usize = 0;
const DETECTION: usize = 4;

/// A sheet of suspects, in order. Images lie under `root`.
///
/// # Errors
/// The first image that cannot be read.
pub fn suspect_sheet(truth: &Dataset, root: &Path, suspects: &[Suspect]) -> Result<RgbImage, DataError> {
    let tiles = suspects.iter().enumerate().map(|(n, suspect)| tile(truth, root, n, suspect)).collect::<Result<Vec<_>, _>>()?;
    Ok(contact_sheet(&tiles, COLUMNS, CELL))
}

fn tile(truth: &Dataset, root: &Path, n: usize, suspect: &Suspect) -> Result<Tile, DataError> {
    let record = truth.images.iter().find(|image| image.id == suspect.image_id);
    let name = record.map_or(suspect.file_name.as_str(), |image| image.file_name.as_str());
    let image = read_image(&resolve(root, name)?, &DecodeConfig::default())?;
    let [left, top, width, height] = window(suspect, image.width(), image.height());
    let mut crop = imageops::crop_imm(&image, left, top, width, height).to_image();
    let factor = enlargement(&crop, CELL);
    crop = enlarge_image(&crop, factor);
    let scale = crop.width() as f32 / width as f32;
    let drawn = |[x, y, w, h]: [f64; 4], text: String, hue: usize| {
        let corner = |v: f64, from: u32| (v as f32 - from as f32) * scale;
        DrawnObject {
            bbox: [corner(x, left), corner(y, top), corner(x + w, left), corner(y + h, top)],
            text,
            colour: colour(hue),
            mask: None,
        }
    };
    let label = suspect.label_box.map(|b| drawn(b, suspect.labelled.clone().unwrap_or_default(), LABEL));
    let found = drawn(suspect.detected_box, format!("{} {:.2}", suspect.detected, suspect.score), DETECTION);
    let objects: Vec<DrawnObject> = label.into_iter().chain([found]).collect();
    let style = Style::for_size(crop.width(), crop.height());
    draw_objects(&mut crop, &objects, &style);
    Ok(Tile { image: crop, caption: format!("{} {}  {}", n + 1, suspect.suspicion.name(), suspect.file_name) })
}

/// Left, top, width and height of the part of the image that is shown.
fn window(suspect: &Suspect, width: u32, height: u32) -> [u32; 4] {
    let [x, y, w, h] = suspect.detected_box;
    let (mut low, mut high) = ([x, y], [x + w, y + h]);
    if let Some([x, y, w, h]) = suspect.label_box {
        (low, high) = ([low[0].min(x), low[1].min(y)], [high[0].max(x + w), high[1].max(y + h)]);
    }
    let margin = AROUND * (high[0] - low[0]).max(high[1] - low[1]).max(8.0);
    let clamp = |v: f64, end: u32| v.clamp(0.0, f64::from(end)) as u32;
    let (left, top) = (clamp(low[0] - margin, width.saturating_sub(1)), clamp(low[1] - margin, height.saturating_sub(1)));
    let (right, bottom) = (clamp(high[0] + margin, width), clamp(high[1] + margin, height));
    [left, top, right.saturating_sub(left).max(1), bottom.saturating_sub(top).max(1)]
}
