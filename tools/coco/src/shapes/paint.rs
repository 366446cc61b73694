//! Pixels: who covers what, and with which colour.

use image::RgbImage;

use super::figure::Figure;
use super::random::Random;
use super::MIN_VISIBLE;
use crate::types::InstanceMask;

/// Samples along each side of a pixel on an edge.
const SAMPLES: usize = 4;
/// Samples in a pixel.
pub(super) const FULL: u8 = (SAMPLES * SAMPLES) as u8;
/// A pixel belongs to an object from half coverage on.
const HALF: u8 = FULL / 2;
/// An object must differ from what is under it by so much, summed over the channels.
const MIN_CONTRAST: i32 = 150;
/// Colours tried for the contrast.
const COLOURS_TRIED: usize = 16;

/// How much of each pixel a figure covers, in its bounding window.
pub(super) struct Cover {
    left: usize,
    top: usize,
    width: usize,
    /// Sixteenths, row by row.
    parts: Vec<u8>,
}

impl Cover {
    /// Pixel indices of an image of this width, with their coverage where there is any.
    pub fn pixels(&self, image_width: usize) -> impl Iterator<Item = (usize, u8)> + '_ {
        self.parts.chunks_exact(self.width.max(1)).enumerate().flat_map(move |(row, parts)| {
            let start = (self.top + row) * image_width + self.left;
            parts.iter().enumerate().filter(|(_, &part)| part > 0).map(move |(column, &part)| (start + column, part))
        })
    }
}

/// The picture while it is painted.
pub(super) struct Canvas {
    pub height: usize,
    pub width: usize,
    pub pixels: Vec<[u8; 3]>,
    /// Number of the object on top of each pixel, from 1; 0 where there is none.
    owner: Vec<u8>,
    /// Pixels of each object when it was painted, and still visible.
    counts: Vec<[u32; 2]>,
}

impl Canvas {
    pub fn new(height: u32, width: u32) -> Self {
        let (height, width) = (height as usize, width as usize);
        Canvas { height, width, pixels: vec![[0; 3]; height * width], owner: vec![0; height * width], counts: Vec::new() }
    }

    /// Rasterises a figure: inside and outside pixels by their corners, edges by 4 x 4 samples.
    pub fn cover(&self, figure: &Figure) -> Cover {
        let span = |axis: usize, limit: usize| {
            let low = (figure.centre[axis] - figure.half[axis]).floor().max(0.0) as usize;
            let high = (figure.centre[axis] + figure.half[axis]).ceil().max(0.0) as usize;
            (low.min(limit), high.min(limit))
        };
        let ((left, right), (top, bottom)) = (span(0, self.width), span(1, self.height));
        let (width, height) = (right - left, bottom - top);
        let mut parts = vec![0u8; width * height];
        let line = |y: usize| -> Vec<bool> { (left..=right).map(|x| figure.contains(x as f32, y as f32)).collect() };
        let mut above = line(top);
        for (row, parts) in parts.chunks_exact_mut(width.max(1)).enumerate() {
            let y = top + row;
            let below = line(y + 1);
            for (column, part) in parts.iter_mut().enumerate() {
                let corners = above[column] as u8 + above[column + 1] as u8 + below[column] as u8 + below[column + 1] as u8;
                let (x, y) = ((left + column) as f32, y as f32);
                let middle = figure.contains(x + 0.5, y + 0.5);
                *part = match (corners, middle) {
                    (0, false) => 0,
                    (4, true) => FULL,
                    _ => samples(figure, x, y),
                };
            }
            above = below;
        }
        Cover { left, top, width, parts }
    }

    /// Whether painting this object leaves enough of the others (and enough of itself is inside the picture).
    pub fn allows(&self, cover: &Cover) -> bool {
        let mut hidden = vec![0u32; self.counts.len()];
        let mut own = 0;
        for (pixel, part) in cover.pixels(self.width) {
            if part >= HALF {
                own += 1;
                if let Some(hidden) = usize::from(self.owner[pixel]).checked_sub(1).and_then(|i| hidden.get_mut(i)) {
                    *hidden += 1;
                }
            }
        }
        let room = self.counts.len() < usize::from(u8::MAX);
        let mut pairs = self.counts.iter().zip(&hidden);
        room && own > 0
            && pairs.all(|([full, visible], hidden)| *hidden == 0 || (visible - hidden) as f32 >= *full as f32 * MIN_VISIBLE)
    }

    /// Paints an object on top: flat, shaded or striped, in a colour that stands out from what is under it.
    pub fn paint_object(&mut self, figure: &Figure, cover: &Cover, random: &mut Random) {
        let under = self.mean(cover);
        let mut colour = random.colour();
        for _ in 0..COLOURS_TRIED {
            if colour.iter().zip(under).map(|(c, u)| (c - u).abs()).sum::<i32>() >= MIN_CONTRAST {
                break;
            }
            colour = random.colour();
        }
        self.fill(figure, cover, colour, FULL, random);
        let number = self.counts.len() as u8 + 1;
        let mut own = 0;
        for (pixel, part) in cover.pixels(self.width) {
            if part >= HALF {
                let previous = std::mem::replace(&mut self.owner[pixel], number);
                if let Some(counts) = usize::from(previous).checked_sub(1).and_then(|i| self.counts.get_mut(i)) {
                    counts[1] -= 1;
                }
                own += 1;
            }
        }
        self.counts.push([own, own]);
    }

    /// Paints without claiming pixels. `opacity` is in sixteenths.
    pub fn fill(&mut self, figure: &Figure, cover: &Cover, colour: [i32; 3], opacity: u8, random: &mut Random) {
        let style = random.below(4);
        let [cos, sin] = random.direction().map(|v| (v * 64.0) as i32);
        let depth = 20 + random.below(50) as i32;
        let period = 4 + random.below(8) as i32;
        let reach = (figure.half[0].max(figure.half[1]) as i32).max(1);
        let (x0, y0) = (figure.centre[0] as i32, figure.centre[1] as i32);
        for (pixel, part) in cover.pixels(self.width) {
            let (x, y) = ((pixel % self.width) as i32 - x0, (pixel / self.width) as i32 - y0);
            let along = x * cos + y * sin;
            let shade = match style {
                0 => 0,
                1 | 2 => along * depth / (64 * reach),
                _ if (along >> 6).div_euclid(period) & 1 == 0 => depth / 2,
                _ => -depth / 2,
            };
            let weight = i32::from(part) * i32::from(opacity);
            self.blend(pixel, colour.map(|channel| channel + shade), weight, i32::from(FULL) * i32::from(FULL));
        }
    }

    /// Mixes a colour into a pixel with weight `weight / whole`.
    pub fn blend(&mut self, pixel: usize, colour: [i32; 3], weight: i32, whole: i32) {
        if let Some(target) = self.pixels.get_mut(pixel) {
            for (target, colour) in target.iter_mut().zip(colour) {
                let mixed = i32::from(*target) * (whole - weight) + colour.clamp(0, 255) * weight;
                *target = (mixed / whole) as u8;
            }
        }
    }

    fn mean(&self, cover: &Cover) -> [i32; 3] {
        let (mut sum, mut count) = ([0i32; 3], 1);
        for (pixel, _) in cover.pixels(self.width).step_by(5) {
            sum.iter_mut().zip(self.pixels[pixel]).for_each(|(sum, value)| *sum += i32::from(value));
            count += 1;
        }
        sum.map(|sum| sum / count)
    }

    /// Noise over everything, as a camera has it.
    pub fn grain(&mut self, random: &mut Random) {
        let strength = random.below(13) as i32;
        let mut state = random.bits() | 1;
        for pixel in &mut self.pixels {
            // Xorshift (Marsaglia 2003): three independent bytes a pixel are plenty.
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            for (channel, shift) in pixel.iter_mut().zip([0, 8, 16]) {
                let noise = ((state >> shift & 255) as i32 - 128) * strength / 128;
                *channel = (i32::from(*channel) + noise).clamp(0, 255) as u8;
            }
        }
    }

    /// What can be seen of each object, in the order of painting.
    pub fn visible_masks(&self) -> Vec<InstanceMask> {
        let mut bounds = vec![[usize::MAX, usize::MAX, 0, 0]; self.counts.len()];
        for (pixel, &owner) in self.owner.iter().enumerate() {
            if let Some(bound) = usize::from(owner).checked_sub(1).and_then(|i| bounds.get_mut(i)) {
                let (x, y) = (pixel % self.width, pixel / self.width);
                *bound = [bound[0].min(x), bound[1].min(y), bound[2].max(x + 1), bound[3].max(y + 1)];
            }
        }
        let mask = |(i, [x1, y1, x2, y2]): (usize, [usize; 4])| {
            let rows = self.owner.chunks_exact(self.width).take(y2).skip(y1.min(y2));
            let bits = rows.flat_map(|row| row.iter().take(x2).skip(x1).map(|&owner| u8::from(usize::from(owner) == i + 1)));
            let bits: Vec<u8> = bits.collect();
            let size = [y2.saturating_sub(y1), x2.saturating_sub(x1)];
            InstanceMask { origin: [x1 as i32, y1 as i32], size, bits }
        };
        bounds.into_iter().enumerate().map(mask).collect()
    }

    pub fn into_image(self) -> RgbImage {
        let (width, height) = (self.width as u32, self.height as u32);
        let bytes = self.pixels.into_iter().flatten().collect();
        // The buffer has height x width x 3 bytes by construction.
        RgbImage::from_raw(width, height, bytes).unwrap_or_default()
    }
}

fn samples(figure: &Figure, x: f32, y: f32) -> u8 {
    let at = |i: usize| (2 * i + 1) as f32 / (2 * SAMPLES) as f32;
    let inside = |i: usize| figure.contains(x + at(i % SAMPLES), y + at(i / SAMPLES));
    (0..SAMPLES * SAMPLES).filter(|&i| inside(i)).count() as u8
}

#[cfg(test)]
mod tests {
    use super::super::figure::Kind;
    use super::*;

    #[test]
    fn later_objects_leave_enough_of_earlier_ones() {
        let mut random = Random::new(0, 0);
        let mut canvas = Canvas::new(100, 100);
        let figure = |random: &mut Random, kind, size, centre| Figure { centre, ..Figure::draw(random, kind, size, [100.0; 2]) };
        let first = figure(&mut random, Kind::Circle, 40.0, [50.0, 50.0]);
        let cover = canvas.cover(&first);
        assert!(canvas.allows(&cover));
        canvas.paint_object(&first, &cover, &mut random);

        let all = canvas.cover(&figure(&mut random, Kind::Square, 60.0, [50.0, 50.0]));
        assert!(!canvas.allows(&all), "it would be hidden");
        let side = figure(&mut random, Kind::Circle, 40.0, [75.0, 50.0]);
        let cover = canvas.cover(&side);
        assert!(canvas.allows(&cover));
        canvas.paint_object(&side, &cover, &mut random);

        let masks = canvas.visible_masks();
        assert_eq!(masks[1].area(), u64::from(canvas.counts[1][0]), "nothing covers the second");
        assert_eq!(masks[0].area(), u64::from(canvas.counts[0][1]));
        assert!(canvas.counts[0][1] < canvas.counts[0][0]);
        let outside = canvas.cover(&figure(&mut random, Kind::Star, 20.0, [300.0, 300.0]));
        assert!(!canvas.allows(&outside), "nothing of it is in the picture");
    }
}
