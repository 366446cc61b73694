//! Crops: random ones (Szegedy et al., "Going Deeper with Convolutions", 2014) and the centre.

use image::RgbImage;
use rand::Rng;

use super::ClassifyConfig;
use crate::resize::{resize, Filter};
use crate::sample::{crop, Window};

/// Windows drawn before the largest central one of an allowed ratio is taken.
const TRIALS: usize = 10;

/// A random window, resized to the network's square by the filter that is configured or drawn.
pub(super) fn random(image: &RgbImage, config: &ClassifyConfig, rng: &mut impl Rng) -> RgbImage {
    let window = window([image.width() as usize, image.height() as usize], config, rng);
    let filter = config.interpolation.draw(rng);
    resize(&crop(image, window), config.size, config.size, filter)
}

fn window([width, height]: [usize; 2], config: &ClassifyConfig, rng: &mut impl Rng) -> Window {
    let area = (width * height) as f64;
    let [low, high] = config.ratio.map(f64::ln);
    for _ in 0..TRIALS {
        let share = config.scale[0] + rng.random::<f64>() * (config.scale[1] - config.scale[0]);
        let ratio = (low + rng.random::<f64>() * (high - low)).exp();
        let columns = (area * share * ratio).sqrt().round() as usize;
        let rows = (area * share / ratio).sqrt().round() as usize;
        if (1..=width).contains(&columns) && (1..=height).contains(&rows) {
            let x = rng.random_range(0..=width - columns);
            let y = rng.random_range(0..=height - rows);
            return Window { x, y, width: columns, height: rows };
        }
    }
    let ratio = (width as f64 / height as f64).clamp(config.ratio[0], config.ratio[1]);
    let columns = ((height as f64 * ratio).round() as usize).clamp(1, width);
    let rows = ((width as f64 / ratio).round() as usize).clamp(1, height);
    Window { x: (width - columns) / 2, y: (height - rows) / 2, width: columns, height: rows }
}

/// The short side resized to `size / share` (bicubic), then the central square.
pub(super) fn centre(image: &RgbImage, size: usize, share: f64) -> RgbImage {
    let short_side = (size as f64 / share).floor();
    let (width, height) = (image.width() as f64, image.height() as f64);
    let scale = short_side / width.min(height);
    let fit = |side: f64| ((side * scale) as usize).max(size);
    let (width, height) = (fit(width), fit(height));
    let small = resize(image, width, height, Filter::Bicubic);
    // Half to even, as Python rounds.
    let offset = |side: usize| ((side - size) as f64 / 2.0).round_ties_even() as usize;
    crop(&small, Window { x: offset(width), y: offset(height), width: size, height: size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::sample_rng;

    #[test]
    fn windows_lie_in_the_image_and_keep_to_area_and_ratio() {
        let config = ClassifyConfig::default();
        for index in 0..500 {
            let w = window([300, 200], &config, &mut sample_rng(0, 0, index));
            assert!(w.x + w.width <= 300 && w.y + w.height <= 200);
            let (share, ratio) = ((w.width * w.height) as f64 / 60_000.0, w.width as f64 / w.height as f64);
            assert!((0.075..=1.0).contains(&share) && (0.72..=1.38).contains(&ratio), "{share} {ratio}");
        }
        // No window of an allowed ratio covers a long strip: the central one is taken.
        let strip = window([1000, 10], &ClassifyConfig { scale: [1.0, 1.0], ..config }, &mut sample_rng(0, 0, 0));
        assert_eq!(strip, Window { x: 493, y: 0, width: 13, height: 10 });
    }

    #[test]
    fn evaluation_sees_the_centre() {
        let image = RgbImage::from_fn(512, 256, |x, _| image::Rgb([(x / 2) as u8; 3]));
        let out = centre(&image, 224, 0.875);
        assert_eq!(out.dimensions(), (224, 224));
        // Columns 144 to 368 of an image that needs no resize.
        assert_eq!((out.get_pixel(0, 0).0[0], out.get_pixel(223, 223).0[0]), (72, 183));
        assert_eq!(centre(&RgbImage::new(3, 900), 224, 0.875).dimensions(), (224, 224));
    }
}
