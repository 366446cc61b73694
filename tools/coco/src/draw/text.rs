//! Text in pictures, with a font that comes with the program.

use std::sync::OnceLock;

use ab_glyph::{Font, FontRef, PxScale, ScaleFont};
use image::RgbImage;

/// The font's file (Hack, by Source Foundry; MIT and Bitstream Vera licences): for other drawing libraries too.
pub fn font_bytes() -> &'static [u8] {
    epaint_default_fonts::HACK_REGULAR
}

fn font() -> Option<&'static FontRef<'static>> {
    static FONT: OnceLock<Option<FontRef<'static>>> = OnceLock::new();
    // The bytes are part of the program; a test below reads them.
    FONT.get_or_init(|| FontRef::try_from_slice(font_bytes()).ok()).as_ref()
}

/// Width of a line of text in pixels.
pub fn text_width(text: &str, size: f32) -> f32 {
    let Some(font) = font() else { return 0.0 };
    let font = font.as_scaled(PxScale::from(size));
    text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum()
}

/// Draws a line of text whose upper left corner is at (x, y). What lies outside the image is cut off.
pub fn draw_text(image: &mut RgbImage, text: &str, [x, y]: [f32; 2], size: f32, colour: [u8; 3]) {
    let Some(font) = font() else { return };
    let scaled = font.as_scaled(PxScale::from(size));
    let (mut pen, baseline) = (x, y + scaled.ascent());
    for character in text.chars() {
        let id = scaled.glyph_id(character);
        let glyph = id.with_scale_and_position(PxScale::from(size), ab_glyph::point(pen, baseline));
        pen += scaled.h_advance(id);
        let Some(outline) = font.outline_glyph(glyph) else { continue };
        let corner = outline.px_bounds().min;
        outline.draw(|dx, dy, coverage| {
            let (column, row) = (corner.x as i64 + i64::from(dx), corner.y as i64 + i64::from(dy));
            blend(image, [column, row], colour, coverage.clamp(0.0, 1.0));
        });
    }
}

/// Mixes a colour into a pixel; outside the image nothing happens.
pub(super) fn blend(image: &mut RgbImage, [x, y]: [i64; 2], colour: [u8; 3], share: f32) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if let Some(pixel) = image.get_pixel_mut_checked(x, y) {
        for (channel, colour) in pixel.0.iter_mut().zip(colour) {
            let mixed = f32::from(*channel) + (f32::from(colour) - f32::from(*channel)) * share;
            *channel = mixed.round() as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_drawn_where_it_is_asked_for() {
        let mut image = RgbImage::new(80, 30);
        draw_text(&mut image, "Aé9", [10.0, 5.0], 16.0, [255, 255, 255]);
        let width = text_width("Aé9", 16.0);
        assert!((20.0..40.0).contains(&width), "{width}");
        let lit: Vec<(u32, u32)> = image.enumerate_pixels().filter(|(.., p)| p.0[0] > 128).map(|(x, y, _)| (x, y)).collect();
        assert!(lit.len() > 40, "{} pixels", lit.len());
        assert!(lit.iter().all(|&(x, y)| (10..10 + width as u32 + 1).contains(&x) && (5..22).contains(&y)), "{lit:?}");
        // Beyond the border nothing happens.
        draw_text(&mut image, "wide", [70.0, -8.0], 40.0, [255, 0, 0]);
    }
}
