//! Shear, shift and rotation by sampling the source bilinearly, to Pillow's numbers (`Image.transform`, `Image.rotate`).

use image::{Rgb, RgbImage};

/// Source x = a x + b y + c, source y = d x + e y + f, for pixel centres.
pub type Matrix = [f64; 6];

/// Shears along x.
pub fn shear_x(factor: f64) -> Matrix {
    [1.0, factor, 0.0, 0.0, 1.0, 0.0]
}

/// Shears along y.
pub fn shear_y(factor: f64) -> Matrix {
    [1.0, 0.0, 0.0, factor, 1.0, 0.0]
}

/// Moves by pixels (to the left and up where positive).
pub fn translate(x: f64, y: f64) -> Matrix {
    [1.0, 0.0, x, 0.0, 1.0, y]
}

/// Turns counter-clockwise about the centre of an image of this width and height.
pub fn rotate(degrees: f64, [width, height]: [f64; 2]) -> Matrix {
    let (sin, cos) = (-degrees.rem_euclid(360.0).to_radians()).sin_cos();
    let (x, y) = (width / 2.0, height / 2.0);
    [cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y]
}

/// Samples an image; what comes from outside of it has the fill colour.
pub fn transform(image: &RgbImage, [a, b, c, d, e, f]: Matrix, fill: [u8; 3]) -> RgbImage {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        let (x, y) = (a * x + b * y + c, d * x + e * y + f);
        let inside = (0.0..width).contains(&x) && (0.0..height).contains(&y);
        if inside {
            bilinear(image, x - 0.5, y - 0.5)
        } else {
            Rgb(fill)
        }
    })
}

/// The value between four pixels; beyond the border the nearest one counts.
fn bilinear(image: &RgbImage, x: f64, y: f64) -> Rgb<u8> {
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let column = |x: f64| x.clamp(0.0, f64::from(image.width() - 1)) as u32;
    let row = |y: f64| y.clamp(0.0, f64::from(image.height() - 1)) as u32;
    let at = |x: f64, y: f64| image.get_pixel(column(x), row(y)).0.map(f64::from);
    let (nw, ne, sw, se) = (at(left, top), at(left + 1.0, top), at(left, top + 1.0), at(left + 1.0, top + 1.0));
    Rgb([0, 1, 2].map(|c| {
        let upper = nw[c] + dx * (ne[c] - nw[c]);
        let lower = sw[c] + dx * (se[c] - sw[c]);
        (upper + dy * (lower - upper)) as u8
    }))
}
