//! Where a figure lies and which points are inside it.

use super::random::Random;

/// Cosine and sine of 72 and 144 degrees: the tips of a five-pointed star.
const C72: f32 = 0.309_017;
const S72: f32 = 0.951_056_5;
const C144: f32 = -0.809_017;
const S144: f32 = 0.587_785_25;
/// Inner radius of a ring, the outer one being 1.
const RING_HOLE: f32 = 0.55;
/// Half the side of a square.
const HALF_SQUARE: f32 = 0.8;
/// Half the width of a bar and of the arms of a plus.
const HALF_BAR: f32 = 0.28;

/// What is drawn. The last three are distractors and have no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Circle,
    Square,
    Triangle,
    Star,
    Ring,
    Plus,
    Crescent,
    Bar,
}

impl Kind {
    /// The kinds that are classes, in order of their labels.
    pub const ALL: [Kind; 5] = [Kind::Circle, Kind::Square, Kind::Triangle, Kind::Star, Kind::Ring];
    /// The kinds of no class.
    pub const DISTRACTORS: [Kind; 3] = [Kind::Plus, Kind::Crescent, Kind::Bar];

    pub fn label(self) -> i64 {
        self as i64
    }

    /// Whether a point of the unit figure (radius 1) is inside.
    fn contains(self, u: f32, v: f32) -> bool {
        let squared = u * u + v * v;
        match self {
            Kind::Circle => squared <= 1.0,
            Kind::Ring => (RING_HOLE * RING_HOLE..=1.0).contains(&squared),
            Kind::Square => u.abs() <= HALF_SQUARE && v.abs() <= HALF_SQUARE,
            // Corners at the top and at 120 degrees to either side of it.
            Kind::Triangle => v <= 0.5 && 0.866_025_4 * u - 0.5 * v <= 0.5 && -0.866_025_4 * u - 0.5 * v <= 0.5,
            // A pentagram is where at least four of its five lines have the point on their inner side.
            Kind::Star => {
                let normals = [[0.0, 1.0], [S72, C72], [-S72, C72], [S144, C144], [-S144, C144]];
                normals.iter().filter(|n| n[0] * u + n[1] * v <= C72).count() >= 4
            }
            Kind::Plus => (u.abs() <= HALF_BAR && v.abs() <= 1.0) || (v.abs() <= HALF_BAR && u.abs() <= 1.0),
            Kind::Crescent => squared <= 1.0 && (u - 0.5) * (u - 0.5) + v * v > 0.72,
            Kind::Bar => u.abs() <= 1.0 && v.abs() <= HALF_BAR * 0.6,
        }
    }

    /// Points whose hull has the extent of the figure; none for round ones.
    fn corners(self) -> &'static [[f32; 2]] {
        const S: f32 = HALF_SQUARE;
        const B: f32 = HALF_BAR;
        match self {
            Kind::Circle | Kind::Ring | Kind::Crescent => &[],
            Kind::Square => &[[-S, -S], [S, -S], [S, S], [-S, S]],
            Kind::Triangle => &[[0.0, -1.0], [0.866_025_4, 0.5], [-0.866_025_4, 0.5]],
            Kind::Star => &[[0.0, -1.0], [S72, -C72], [-S72, -C72], [S144, -C144], [-S144, -C144]],
            Kind::Plus => &[[-B, -1.0], [B, -1.0], [1.0, -B], [1.0, B], [B, 1.0], [-B, 1.0], [-1.0, B], [-1.0, -B]],
            Kind::Bar => &[[-1.0, -B * 0.6], [1.0, -B * 0.6], [1.0, B * 0.6], [-1.0, B * 0.6]],
        }
    }
}

/// A figure on the picture: unit figure, stretched, turned, scaled, moved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub kind: Kind,
    pub centre: [f32; 2],
    /// How far it reaches from its centre along x and y.
    pub half: [f32; 2],
    /// Rows of the map from picture to unit figure.
    pub inverse: [[f32; 2]; 2],
}

impl Figure {
    /// A figure of this kind whose longer side is `size` pixels, tilted, a little stretched, at a random place: up to a quarter
    /// of it may lie beyond the border.
    pub fn draw(random: &mut Random, kind: Kind, size: f32, [width, height]: [f32; 2]) -> Self {
        // Objects stand, as most things do in photographs; what lies about does so in any direction.
        let [cos, sin] = if Kind::ALL.contains(&kind) { random.tilt() } else { random.direction() };
        let stretch = random.between(0.8, 1.0);
        // Unit figure to picture, up to scale: turn after stretching v.
        let forward = [[cos, -sin * stretch], [sin, cos * stretch]];
        // Of the unit figure along one axis of the picture: half its length, and how far it reaches from its centre.
        let extent = |row: [f32; 2]| {
            let corners = kind.corners();
            if corners.is_empty() {
                // Of an ellipse both are the length of the row.
                let radius = (row[0] * row[0] + row[1] * row[1]).sqrt();
                return (radius, radius);
            }
            let along = corners.iter().map(|c| row[0] * c[0] + row[1] * c[1]);
            let (low, high) = along.fold((0.0f32, 0.0f32), |(low, high), v| (low.min(v), high.max(v)));
            ((high - low) / 2.0, high.max(-low))
        };
        let ((across, right), (down, below)) = (extent(forward[0]), extent(forward[1]));
        let scale = size / 2.0 / across.max(down);
        let half = [right * scale, below * scale];
        let inverse = [[cos / scale, sin / scale], [-sin / (scale * stretch), cos / (scale * stretch)]];
        let centre =
            [random.between(half[0] * 0.5, width - half[0] * 0.5), random.between(half[1] * 0.5, height - half[1] * 0.5)];
        Figure { kind, centre, half, inverse }
    }

    /// Whether a point of the picture is inside.
    pub fn contains(&self, x: f32, y: f32) -> bool {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let [[a, b], [c, d]] = self.inverse;
        self.kind.contains(a * dx + b * dy, c * dx + d * dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_figures_have_their_areas() {
        // By hand: pi; (2 x 0.8)^2; 3 sqrt(3) / 4; pi (1 - 0.55^2); for the star 10 R r sin(36°) / 2 with r = R cos 72° / cos 36°.
        let r = 0.309_017 / 0.809_017;
        let expected = [
            (Kind::Circle, std::f32::consts::PI),
            (Kind::Square, 2.56),
            (Kind::Triangle, 1.299_04),
            (Kind::Star, 5.0 * r * 0.587_785),
            (Kind::Ring, std::f32::consts::PI * (1.0 - 0.3025)),
        ];
        for (kind, area) in expected {
            let at = |i: i32| (i as f32 + 0.5) / 400.0;
            let inside = (-440..440).flat_map(|y| (-440..440).map(move |x| (x, y))).filter(|&(x, y)| kind.contains(at(x), at(y)));
            let found = inside.count() as f32 / 160_000.0;
            assert!((found - area).abs() < 0.01, "{kind:?}: {found} but {area} by hand");
        }
    }

    #[test]
    fn the_longer_side_is_as_asked() {
        let mut random = Random::new(1, 2);
        for kind in Kind::ALL {
            let figure = Figure { centre: [100.0, 100.0], ..Figure::draw(&mut random, kind, 60.0, [200.0, 200.0]) };
            let inside = |i: usize, j: usize| figure.contains(i as f32 / 4.0, j as f32 / 4.0);
            let span = |hit: &dyn Fn(usize) -> bool| {
                let hits: Vec<usize> = (0..800).filter(|&i| hit(i)).collect();
                (hits[hits.len() - 1] - hits[0]) as f32 / 4.0
            };
            let across = span(&|i| (0..800).any(|j| inside(i, j)));
            let down = span(&|j| (0..800).any(|i| inside(i, j)));
            assert!((across.max(down) - 60.0).abs() < 1.0, "{kind:?}: {across} x {down}");
        }
    }
}
