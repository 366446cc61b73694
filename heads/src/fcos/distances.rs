//! Boxes as distances from a point to their four sides, in units of the point's level's stride.
//!
//! A point is given as a square around it, one stride wide (torchvision's one anchor per position).

use tch::Tensor;

use crate::box_coder::Corners;

/// Centre x and y of a box.
pub(super) fn centre(b: Corners) -> [f32; 2] {
    [0.5 * (b[0] + b[2]), 0.5 * (b[1] + b[3])]
}

/// Distances in pixels from a position to the left, upper, right and lower side; negative beyond a side.
pub(super) fn to_sides([x, y]: [f32; 2], b: Corners) -> [f32; 4] {
    [x - b[0], y - b[1], b[2] - x, b[3] - y]
}

/// The box at `distances` from the point of `square`.
pub(super) fn decode(distances: [f32; 4], square: Corners) -> Corners {
    let [x, y] = centre(square);
    let (w, h) = (square[2] - square[0], square[3] - square[1]);
    [x - distances[0] * w, y - distances[1] * h, x + distances[2] * w, y + distances[3] * h]
}

/// [`decode`] on tensors `[n, 4]`, differentiable.
pub(super) fn decode_tensor(distances: &Tensor, squares: &Tensor) -> Tensor {
    let corners = |start: i64| squares.narrow(1, start, 2);
    let centre = (corners(0) + corners(2)) * 0.5;
    let stride = corners(2) - corners(0);
    let before = &centre - distances.narrow(1, 0, 2) * &stride;
    let after = centre + distances.narrow(1, 2, 2) * stride;
    Tensor::cat(&[before, after], 1)
}

/// How near the middle of a box a position lies: 1 there, 0 on a side (Tian et al. 2019, equation 3). `sides` are from [`to_sides`].
pub(super) fn centerness(sides: [f32; 4]) -> f64 {
    let [l, t, r, b] = sides.map(f64::from);
    ((l.min(r) / l.max(r)) * (t.min(b) / t.max(b))).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The point (12, 20) of a level of stride 8; the box reaches one stride to the left, two up, three to the right, half a one down.
    #[test]
    fn by_hand() {
        let (square, expected) = ([8.0, 16.0, 16.0, 24.0], [4.0, 4.0, 36.0, 24.0]);
        let distances = [1.0, 2.0, 3.0, 0.5];
        assert_eq!(decode(distances, square), expected);
        let row = |v: &[f32; 4]| Tensor::from_slice(v).view([1, 4]);
        let tensor = decode_tensor(&row(&distances), &row(&square));
        assert_eq!(Vec::<f32>::try_from(tensor.reshape([-1])).unwrap(), expected);
        assert_eq!(to_sides(centre(square), expected), [8.0, 16.0, 24.0, 4.0]);
        // sqrt(8/24 * 4/16)
        assert!((centerness([8.0, 16.0, 24.0, 4.0]) - (1f64 / 12.0).sqrt()).abs() < 1e-12);
        assert_eq!(centerness([5.0; 4]), 1.0);
    }
}
