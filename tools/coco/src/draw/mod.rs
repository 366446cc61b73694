//! Pictures for people: objects on images, sheets of many images.
//!
//! Colours are the ones of Okabe and Ito ("Color universal design", 2008), which people with any kind of colour vision tell
//! apart; a mask is translucent with an opaque contour, a label has the box's colour behind it and black or white text,
//! whichever reads better.

mod enlarge;
mod objects;
mod sheet;
mod text;

pub use enlarge::{enlarge_image, enlarge_objects, enlargement};
pub use objects::{draw_objects, of_annotations, of_detections, DrawnObject, Style};
pub use sheet::{contact_sheet, truth_and_prediction, Tile};
pub use text::{draw_text, font_bytes, text_width};

/// Okabe and Ito's palette without black, ordered so that neighbours differ most.
const PALETTE: [[u8; 3]; 7] =
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [213, 94, 0], [0, 114, 178], [204, 121, 167], [240, 228, 66]];

/// The colour of a class or of an instance: seven hues, then the same lighter, then darker, then again.
pub fn colour(index: usize) -> [u8; 3] {
    let base = PALETTE[index % PALETTE.len()];
    match index / PALETTE.len() % 3 {
        0 => base,
        1 => base.map(|channel| channel / 2 + 127),
        _ => base.map(|channel| (u16::from(channel) * 3 / 5) as u8),
    }
}

/// Black or white, whichever is read more easily on `background`.
pub fn readable_on(background: [u8; 3]) -> [u8; 3] {
    // Luma of Rec. 601; the border is where both contrasts are about equal.
    let [red, green, blue] = background.map(u32::from);
    if (299 * red + 587 * green + 114 * blue) / 1000 > 140 {
        [0; 3]
    } else {
        [255; 3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_colours_are_distinct() {
        let colours: std::collections::BTreeSet<[u8; 3]> = (0..21).map(colour).collect();
        assert_eq!(colours.len(), 21);
        assert_eq!(colour(21), colour(0));
        assert_eq!(readable_on(colour(6)), [0; 3]);
        assert_eq!(readable_on(colour(4)), [255; 3]);
    }
}
