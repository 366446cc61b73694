//! What all pictures share: the font and the colours.

use std::sync::Once;

use plotters::style::{register_font, FontStyle, RGBColor};

/// Name under which the program's font is registered.
pub const FONT: &str = "sans-serif";

/// Okabe and Ito's palette (2008), which differ for any colour vision, without the yellow that vanishes on white.
pub const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(70, 70, 70),
];

/// The colour of the i-th line or row.
pub fn colour(i: usize) -> RGBColor {
    COLOURS[i % COLOURS.len()]
}

/// Gives plotters a font: it is built without the system's.
pub fn use_font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // The only failure is a font that is none; these bytes are part of the program and are read by the tests.
        let _ = register_font(FONT, FontStyle::Normal, repghost_coco::draw::font_bytes());
    });
}
