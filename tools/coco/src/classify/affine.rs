//! Shear, shift and rotation by sampling the source between its pixels, to Pillow's numbers (`Image.transform`, `Image.rotate`).

use image::{Rgb, RgbImage};

use crate::resize::Filter;

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
pub fn transform(image: &RgbImage, [a, b, c, d, e, f]: Matrix, fill: [u8; 3], filter: Filter) -> RgbImage {
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let (x, y) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
        let (x, y) = (a * x + b * y + c, d * x + e * y + f);
        let inside = (0.0..width).contains(&x) && (0.0..height).contains(&y);
        match filter {
            _ if !inside => Rgb(fill),
            Filter::Bilinear => bilinear(image, x - 0.5, y - 0.5),
            Filter::Bicubic => bicubic(image, x - 0.5, y - 0.5),
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

/// The value between sixteen pixels, by cubics of a = -1 (Pillow's choice here, where its resize has -0.5). Columns beyond the border
/// take the nearest one; of the rows the first is clamped and those below the image repeat the one above them.
fn bicubic(image: &RgbImage, x: f64, y: f64) -> Rgb<u8> {
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let columns = [-1.0, 0.0, 1.0, 2.0].map(|d| (left + d).clamp(0.0, f64::from(image.width() - 1)) as u32);
    let first = (top - 1.0).clamp(0.0, f64::from(image.height() - 1)) as u32;
    let row = |y: u32, c: usize| cubic(columns.map(|x| f64::from(image.get_pixel(x, y).0[c])), dx);
    Rgb([0, 1, 2].map(|c| {
        let mut rows = [row(first, c); 4];
        for i in 1..4 {
            let y = top - 1.0 + i as f64;
            let there = (0.0..f64::from(image.height())).contains(&y);
            rows[i] = if there { row(y as u32, c) } else { rows[i - 1] };
        }
        cubic(rows, dy).clamp(0.0, 255.0) as u8
    }))
}

/// The cubic through the middle two of four values whose slopes are the differences of their neighbours.
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    v2 + d * (v3 - v1 + d * (2.0 * (v1 - v2) + v3 - v4 + d * (v2 - v1 - v3 + v4)))
}
