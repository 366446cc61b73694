//! Many pictures on one sheet.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::text::{draw_text, text_width};

/// Pixels between pictures.
const GAP: u32 = 8;
/// Height of the captions in pixels.
const CAPTION: f32 = 14.0;
/// Height of the strip that holds a caption.
const STRIP: u32 = 20;

/// A picture with a line above it.
#[derive(Clone, Debug)]
pub struct Tile {
    /// The picture.
    pub image: RgbImage,
    /// The line; cut where it is longer than the picture is wide.
    pub caption: String,
}

/// Lays pictures out in rows of `columns`, each shrunk (never enlarged) to fit a square of `cell` pixels.
pub fn contact_sheet(tiles: &[Tile], columns: usize, cell: u32) -> RgbImage {
    let columns = columns.clamp(1, tiles.len().max(1));
    let cell = cell.max(16);
    let shrunk: Vec<RgbImage> = tiles.iter().map(|tile| shrink(&tile.image, cell)).collect();
    let width = shrunk.iter().map(RgbImage::width).max().unwrap_or(cell);
    let heights: Vec<u32> =
        shrunk.chunks(columns).map(|row| row.iter().map(RgbImage::height).max().unwrap_or(0) + STRIP + GAP).collect();
    let size = [GAP + columns as u32 * (width + GAP), GAP + heights.iter().sum::<u32>()];
    let mut sheet = RgbImage::from_pixel(size[0], size[1], Rgb([255; 3]));
    let mut top = GAP;
    for ((row, tiles), height) in shrunk.chunks(columns).zip(tiles.chunks(columns)).zip(&heights) {
        for (column, (image, tile)) in row.iter().zip(tiles).enumerate() {
            let left = GAP + column as u32 * (width + GAP);
            draw_text(&mut sheet, &cut(&tile.caption, width as f32), [left as f32, top as f32 + 2.0], CAPTION, [40; 3]);
            imageops::replace(&mut sheet, image, i64::from(left), i64::from(top + STRIP));
        }
        top += height;
    }
    sheet
}

/// Ground truth beside prediction, `pairs` in a row.
pub fn truth_and_prediction(images: Vec<(String, RgbImage, RgbImage)>, pairs: usize, cell: u32) -> RgbImage {
    let tiles: Vec<Tile> = images
        .into_iter()
        .flat_map(|(name, truth, prediction)| {
            [
                Tile { image: truth, caption: format!("truth  {name}") },
                Tile { image: prediction, caption: format!("prediction  {name}") },
            ]
        })
        .collect();
    contact_sheet(&tiles, 2 * pairs.max(1), cell)
}

fn shrink(image: &RgbImage, cell: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height).max(1);
    if longer <= cell {
        return image.clone();
    }
    let side = |side: u32| ((u64::from(side) * u64::from(cell) + u64::from(longer) / 2) / u64::from(longer)).max(1) as u32;
    imageops::resize(image, side(width), side(height), FilterType::Triangle)
}

fn cut(text: &str, width: f32) -> String {
    let mut text = text.to_owned();
    if text_width(&text, CAPTION) > width {
        while text_width(&text, CAPTION) + text_width("…", CAPTION) > width && text.pop().is_some() {}
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_where_they_belong() {
        let tile = |colour, width, height| Tile {
            image: RgbImage::from_pixel(width, height, Rgb([colour, 0, 0])),
            caption: "a very long caption that cannot fit".into(),
        };
        let sheet = contact_sheet(&[tile(10, 40, 20), tile(20, 20, 40), tile(30, 200, 100)], 2, 50);
        // Two columns of 50; rows of 40 and 25, each below its strip.
        assert_eq!(sheet.dimensions(), (8 + 2 * 58, 8 + 40 + 28 + 25 + 28));
        assert_eq!(sheet.get_pixel(8, 28).0, [10, 0, 0]);
        assert_eq!(sheet.get_pixel(66, 28 + 39).0, [20, 0, 0]);
        assert_eq!(sheet.get_pixel(8 + 49, 8 + 68 + 20 + 24).0, [30, 0, 0]);
        assert_eq!(sheet.get_pixel(8 + 50, 8 + 68 + 20).0, [255; 3]);
        assert_eq!(contact_sheet(&[], 3, 64).dimensions(), (80, 8));
    }
}
