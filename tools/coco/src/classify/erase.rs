//! Random erasing (Zhong et al., 2017) in timm's `pixel` mode: a rectangle of the normalised image becomes noise.

use std::f64::consts::TAU;

use rand::Rng;

/// Share of the image's area that may be erased.
const AREA: [f64; 2] = [0.02, 1.0 / 3.0];
/// Least height / width; the most is its inverse.
const MIN_ASPECT: f64 = 0.3;
/// Rectangles drawn before nothing is erased.
const TRIALS: usize = 10;

/// Erases with a probability; pixels are planes `[3, height, width]`.
pub(super) fn random(pixels: &mut [f32], height: usize, width: usize, probability: f64, rng: &mut impl Rng) {
    if rng.random::<f64>() >= probability {
        return;
    }
    for _ in 0..TRIALS {
        let area = (AREA[0] + rng.random::<f64>() * (AREA[1] - AREA[0])) * (height * width) as f64;
        let aspect = ((2.0 * rng.random::<f64>() - 1.0) * (1.0 / MIN_ASPECT).ln()).exp();
        let rows = (area * aspect).sqrt().round() as usize;
        let columns = (area / aspect).sqrt().round() as usize;
        if (1..height).contains(&rows) && (1..width).contains(&columns) {
            let top = rng.random_range(0..=height - rows);
            let left = rng.random_range(0..=width - columns);
            for plane in pixels.chunks_exact_mut(height * width) {
                for row in plane.chunks_exact_mut(width).skip(top).take(rows) {
                    row[left..left + columns].fill_with(|| normal(rng) as f32);
                }
            }
            return;
        }
    }
}

/// A standard normal number, by Box and Muller.
pub(super) fn normal(rng: &mut impl Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (TAU * rng.random::<f64>()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::sample_rng;

    #[test]
    fn a_rectangle_of_standard_noise_is_left() {
        let (mut erased, mut noise) = (0, Vec::new());
        for index in 0..200 {
            let mut pixels = vec![9.0_f32; 3 * 40 * 50];
            random(&mut pixels, 40, 50, 0.5, &mut sample_rng(0, 0, index));
            let changed: Vec<usize> = (0..2000).filter(|&i| pixels[i] != 9.0).collect();
            let Some((first, last)) = changed.first().zip(changed.last()) else { continue };
            erased += 1;
            let rows = last / 50 - first / 50 + 1;
            assert_eq!(changed.len() % rows, 0);
            assert!((0.015..0.35).contains(&(changed.len() as f64 / 2000.0)), "{}", changed.len());
            assert!(changed.iter().all(|i| pixels[i + 2000] != 9.0 && pixels[i + 4000] != 9.0));
            noise.extend(changed.iter().map(|&i| f64::from(pixels[i])));
        }
        assert!((75..125).contains(&erased), "{erased} of 200");
        let count = noise.len() as f64;
        let mean = noise.iter().sum::<f64>() / count;
        let variance = noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
