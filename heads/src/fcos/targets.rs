//! Which point is trained on which object (Tian et al. 2019, section 3.2; center sampling: the journal version of 2020).
//!
//! A point is trained on an object where it lies inside the object's box, near its centre, and where the farthest side of the box is at a distance
//! that belongs to the point's level: each level has a range of distances, so objects are divided among levels by their size. Where several
//! objects claim a point, the smallest takes it, and of equally large ones the first. (torchvision compares areas as `1e8 - area` in single
//! precision, in which areas closer than 8 square pixels are equal.)

use super::distances::{centre, to_sides};
use crate::anchors::AnchorSet;
use crate::box_coder::Corners;
use crate::boxes::area;

/// Least and greatest distance to the farthest side, in strides of the level. The finest level has no least one, the coarsest no greatest.
const RANGE: [f32; 2] = [4.0, 8.0];

/// For each point the object that it is trained on; none for background.
pub(super) fn assign(objects: &[Corners], points: &AnchorSet, radius: f32) -> Vec<Option<u32>> {
    let mut owners = vec![None; points.boxes.len()];
    // The smallest come last and take what others have claimed.
    let mut order: Vec<usize> = (0..objects.len()).collect();
    order.sort_by(|a, b| area(objects[*b]).total_cmp(&area(objects[*a])).then(b.cmp(a)));
    let last = points.per_level.len().saturating_sub(1);
    for (level, range) in points.ranges().enumerate() {
        let least = if level == 0 { 0.0 } else { RANGE[0] };
        let greatest = if level == last { f32::INFINITY } else { RANGE[1] };
        for &o in &order {
            for (owner, square) in owners[range.clone()].iter_mut().zip(&points.boxes[range.clone()]) {
                if claims(objects[o], *square, radius, [least, greatest]) {
                    *owner = Some(o as u32);
                }
            }
        }
    }
    owners
}

fn claims(object: Corners, square: Corners, radius: f32, [least, greatest]: [f32; 2]) -> bool {
    let stride = square[2] - square[0];
    let ([x, y], middle) = (centre(square), centre(object));
    let near = (x - middle[0]).abs().max((y - middle[1]).abs()) < radius * stride;
    let sides = to_sides([x, y], object);
    let nearest = sides.into_iter().fold(f32::INFINITY, f32::min);
    let farthest = sides.into_iter().fold(0.0, f32::max);
    near && nearest > 0.0 && farthest > least * stride && farthest < greatest * stride
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two levels of strides 8 and 16, each with two points: (0, 0), (8, 0) and (0, 0), (16, 0).
    fn points() -> AnchorSet {
        let square = |x: f32, stride: f32| [x - stride / 2.0, -stride / 2.0, x + stride / 2.0, stride / 2.0];
        AnchorSet {
            boxes: vec![square(0.0, 8.0), square(8.0, 8.0), square(0.0, 16.0), square(16.0, 16.0)],
            per_level: vec![2, 2],
        }
    }

    /// The first object's farthest side is 20 to 24 px from the fine points: their level's. The second's is 78 to 90 px away: above 8
    /// strides of 8 and above 4 of 16, the coarse level's, and it is centred at (14, 0), within 24 px of both coarse points.
    #[test]
    fn sizes_choose_levels() {
        let small = [-16.0, -10.0, 20.0, 10.0];
        assert_eq!(assign(&[small], &points(), 1.5), [Some(0), Some(0), None, None]);
        let large = [-62.0, -62.0, 90.0, 62.0];
        assert_eq!(assign(&[large], &points(), 1.5), [None, None, Some(0), Some(0)]);
        // A radius of half a stride leaves the point at (16, 0), 2 px from the centre.
        assert_eq!(assign(&[large], &points(), 0.5), [None, None, None, Some(0)]);
        assert_eq!(assign(&[], &points(), 1.5), [None; 4]);
    }

    /// The point (8, 0) lies on the second object's side, not inside; at (0, 0) the smaller object wins, of equal ones the first.
    #[test]
    fn the_smallest_object_takes_a_point() {
        let (wide, narrow) = ([-16.0, -10.0, 20.0, 10.0], [-8.0, -8.0, 8.0, 8.0]);
        assert_eq!(assign(&[wide, narrow], &points(), 1.5), [Some(1), Some(0), None, None]);
        assert_eq!(assign(&[narrow, wide], &points(), 1.5), [Some(0), Some(1), None, None]);
        assert_eq!(assign(&[narrow, narrow], &points(), 1.5)[0], Some(0));
    }
}
