//! What is no object: soft blobs, lines, figures of no class.

use super::figure::{Figure, Kind};
use super::paint::{Canvas, FULL};
use super::random::Random;

/// Painted before the objects, which may hide it.
pub(super) fn below(canvas: &mut Canvas, random: &mut Random) {
    for _ in 0..random.below(5) {
        blob(canvas, random);
    }
    for _ in 0..random.below(5) {
        let thickness = random.between(1.0, 4.0);
        line(canvas, random, thickness);
    }
    for _ in 0..random.below(3) {
        let kind = Kind::DISTRACTORS[random.below(Kind::DISTRACTORS.len() as u32) as usize];
        let share = random.unit();
        let size = 16.0 + 70.0 * share * share;
        let figure = Figure::draw(random, kind, size, [canvas.width as f32, canvas.height as f32]);
        let cover = canvas.cover(&figure);
        let colour = random.colour();
        let opacity = FULL / 2 + random.below(u32::from(FULL) / 2) as u8;
        canvas.fill(&figure, &cover, colour, opacity, random);
    }
}

/// Painted over the objects: thin lines, which hide next to nothing.
pub(super) fn above(canvas: &mut Canvas, random: &mut Random) {
    for _ in 0..random.below(3) {
        let thickness = random.between(1.0, 1.8);
        line(canvas, random, thickness);
    }
}

/// A spot without an edge.
fn blob(canvas: &mut Canvas, random: &mut Random) {
    let radius = 8 + random.below(50) as i32;
    let (x0, y0) = (random.below(canvas.width as u32) as i32, random.below(canvas.height as u32) as i32);
    let colour = random.colour();
    let strength = 90 + random.below(120) as i32;
    let clip = |v: i32, limit: usize| v.clamp(0, limit as i32);
    let square = radius * radius;
    for y in clip(y0 - radius, canvas.height)..clip(y0 + radius, canvas.height) {
        for x in clip(x0 - radius, canvas.width)..clip(x0 + radius, canvas.width) {
            let rest = square - (x - x0) * (x - x0) - (y - y0) * (y - y0);
            if rest > 0 {
                // (1 - r²)² falls to nothing without a rim.
                let share = rest * 256 / square;
                canvas.blend(y as usize * canvas.width + x as usize, colour, share * share / 256 * strength / 256, 256);
            }
        }
    }
}

/// A straight line across the picture, smooth at its sides.
fn line(canvas: &mut Canvas, random: &mut Random, thickness: f32) {
    let [nx, ny] = random.direction();
    let (px, py) = (random.unit() * canvas.width as f32, random.unit() * canvas.height as f32);
    let colour = random.colour();
    let opacity = 120 + random.below(136) as i32;
    let offset = nx * px + ny * py;
    let reach = thickness / 2.0 + 0.5;
    for y in 0..canvas.height {
        // Along a row the distance changes evenly, so the pixels near the line are one interval.
        let rest = offset - ny * (y as f32 + 0.5);
        let (from, to) = if nx.abs() < 1e-3 {
            if rest.abs() > reach {
                continue;
            }
            (0.0, canvas.width as f32)
        } else {
            let ends = [(rest - reach) / nx, (rest + reach) / nx];
            (ends[0].min(ends[1]) - 0.5, ends[0].max(ends[1]) + 0.5)
        };
        for x in from.max(0.0) as usize..to.clamp(0.0, canvas.width as f32) as usize {
            let distance = (nx * (x as f32 + 0.5) - rest).abs();
            let share = (reach - distance).clamp(0.0, 1.0);
            canvas.blend(y * canvas.width + x, colour, (share * opacity as f32) as i32, 256);
        }
    }
}
