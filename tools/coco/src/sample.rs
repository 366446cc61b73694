//! One image with its objects, and the pixel operations that augmentation is made of.

use image::RgbImage;

use crate::mask::MaskShape;
use crate::types::{BoxXyxy, SampleTarget};

/// A decoded image and what is in it.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Bytes, red, green, blue, row by row.
    pub image: RgbImage,
    /// Objects in the image's pixels. Its masks are made last, from `shapes`.
    pub target: SampleTarget,
    /// Outlines, one a box, where masks are wanted.
    pub shapes: Option<Vec<MaskShape<'static>>>,
    /// Whether a crop may have cut objects.
    pub cut: bool,
    /// Width and height that the image gets when it enters a batch; objects have it already. See
    /// [`ResizeStyle::Torchvision`](crate::augment::ResizeStyle).
    pub pending: Option<[usize; 2]>,
}

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Left column.
    pub x: usize,
    /// Top row.
    pub y: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Sample {
    /// Width and height of the image, after a resize that is pending.
    pub fn size(&self) -> [usize; 2] {
        self.pending.unwrap_or([self.image.width() as usize, self.image.height() as usize])
    }

    /// Keeps the objects for which `keep(index, box)` holds, with their labels and masks. A label without a box is the image's own and stays.
    pub fn retain(&mut self, keep: impl Fn(usize, &BoxXyxy) -> bool) {
        let flags: Vec<bool> = self.target.boxes.iter().enumerate().map(|(i, b)| keep(i, b)).collect();
        retain_flagged(&mut self.target.boxes, &flags);
        if self.target.labels.len() == flags.len() {
            retain_flagged(&mut self.target.labels, &flags);
        }
        if let Some(shapes) = &mut self.shapes {
            retain_flagged(shapes, &flags);
        }
        if let Some(masks) = &mut self.target.masks {
            retain_flagged(masks, &flags);
        }
    }

    /// Passes a change on to every outline.
    pub fn move_shapes(&mut self, change: impl Fn(&mut MaskShape<'static>)) {
        self.shapes.iter_mut().flatten().for_each(change);
    }

    /// Turns outlines into pixels. An object that a crop left no pixel of is dropped with its box.
    pub fn rasterise(&mut self) {
        let Some(shapes) = self.shapes.take() else { return };
        let [width, height] = self.size().map(|side| side as u32);
        let masks: Vec<_> = shapes.iter().map(|shape| shape.rasterise(height, width)).collect();
        let blank: Vec<bool> = masks.iter().map(|mask| self.cut && mask.area() == 0).collect();
        self.target.masks = Some(masks);
        self.retain(|i, _| !blank.get(i).copied().unwrap_or(false));
    }

    /// Cuts the sample to a window within the image. Boxes and outlines are clipped; objects of which less than `min_side`
    /// pixels of width or height are left are dropped.
    pub fn crop(&mut self, window: Window, min_side: f32) {
        self.image = crop(&self.image, window);
        let (x, y) = (window.x as f32, window.y as f32);
        let (right, bottom) = (window.width as f32, window.height as f32);
        for b in &mut self.target.boxes {
            *b = [
                (b[0] - x).clamp(0.0, right),
                (b[1] - y).clamp(0.0, bottom),
                (b[2] - x).clamp(0.0, right),
                (b[3] - y).clamp(0.0, bottom),
            ];
        }
        let ends = [x, y, x + right, y + bottom].map(f64::from);
        self.move_shapes(|shape| shape.crop(ends));
        self.cut = true;
        self.retain(|_, b| b[2] - b[0] >= min_side && b[3] - b[1] >= min_side);
    }
}

fn retain_flagged<T>(items: &mut Vec<T>, flags: &[bool]) {
    let mut flags = flags.iter();
    items.retain(|_| flags.next().copied().unwrap_or(false));
}

/// A part of an image; what of the window lies outside of the image is left out.
pub fn crop(image: &RgbImage, window: Window) -> RgbImage {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (x, y) = (window.x.min(width), window.y.min(height));
    let (columns, rows) = (window.width.min(width - x), window.height.min(height - y));
    let mut out = Vec::with_capacity(3 * columns * rows);
    for row in image.as_raw().chunks_exact(3 * width.max(1)).skip(y).take(rows) {
        out.extend_from_slice(&row[3 * x..3 * (x + columns)]);
    }
    RgbImage::from_raw(columns as u32, rows as u32, out).expect("rows x columns pixels were copied")
}

/// Mirrors an image left to right, in place.
pub fn flip_horizontal(image: &mut RgbImage) {
    let stride = 3 * image.width().max(1) as usize;
    for row in image.chunks_exact_mut(stride) {
        let (mut left, mut right) = (0, stride - 3);
        while left < right {
            for channel in 0..3 {
                row.swap(left + channel, right + channel);
            }
            left += 3;
            right -= 3;
        }
    }
}

/// Puts an image on a canvas of one colour, its top left corner at (x, y). The canvas must hold it.
pub fn on_canvas(image: &RgbImage, size: [usize; 2], at: [usize; 2], fill: [u8; 3]) -> RgbImage {
    let [width, height] = size;
    let (columns, rows) = (image.width() as usize, image.height() as usize);
    assert!(at[0] + columns <= width && at[1] + rows <= height, "{columns}x{rows} at {at:?} on {width}x{height}");
    let mut out = fill.repeat(width * height);
    for (y, row) in image.as_raw().chunks_exact(3 * columns.max(1)).enumerate() {
        let start = 3 * ((at[1] + y) * width + at[0]);
        out[start..start + row.len()].copy_from_slice(row);
    }
    RgbImage::from_raw(width as u32, height as u32, out).expect("width x height pixels were filled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7]))
    }

    #[test]
    fn pixels_move_as_told() {
        let image = numbered(5, 4);
        let part = crop(&image, Window { x: 2, y: 1, width: 2, height: 9 });
        assert_eq!(part.dimensions(), (2, 3));
        assert_eq!(part.get_pixel(1, 2).0, [3, 3, 7]);
        for width in [4, 5] {
            let mut mirrored = numbered(width, 4);
            flip_horizontal(&mut mirrored);
            assert_eq!(mirrored, image::imageops::flip_horizontal(&numbered(width, 4)));
        }
        let canvas = on_canvas(&image, [9, 6], [3, 2], [1, 2, 3]);
        assert_eq!(
            (canvas.get_pixel(2, 2).0, canvas.get_pixel(3, 2).0, canvas.get_pixel(7, 5).0),
            ([1, 2, 3], [0, 0, 7], [4, 3, 7])
        );
    }

    /// A label of the whole image has no box that could be cut off.
    #[test]
    fn the_label_of_an_image_stays_where_it_is_cropped() {
        let mut sample = Sample { image: numbered(4, 4), ..Sample::default() };
        sample.target.labels = vec![3];
        sample.crop(Window { x: 0, y: 0, width: 2, height: 2 }, 1.0);
        assert_eq!(sample.target.labels, [3]);
        sample.target.boxes = vec![[0.0, 0.0, 0.1, 0.1]];
        sample.crop(Window { x: 0, y: 0, width: 2, height: 2 }, 1.0);
        assert!(sample.target.labels.is_empty() && sample.target.boxes.is_empty());
    }
}
