//! Arithmetic on boxes given by corners x1, y1, x2, y2.
//!
//! A box is a region of the plane, not a set of pixels: its width is `x2 - x1`, without the `+ 1` of older code.

use tch::Tensor;

use crate::box_coder::Corners;

/// Area of a box.
pub fn area(b: Corners) -> f32 {
    (b[2] - b[0]) * (b[3] - b[1])
}

/// Intersection over union of two boxes: the definition that tests hold the matcher and NMS against, which compute it in blocks.
#[cfg(test)]
pub(crate) fn iou(a: Corners, b: Corners) -> f32 {
    let w = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let h = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let inter = w * h;
    inter / (area(a) + area(b) - inter)
}

/// A box cut to an image of `size` (height, width).
pub fn clip(b: Corners, size: [i64; 2]) -> Corners {
    let (h, w) = (size[0] as f32, size[1] as f32);
    [b[0].clamp(0.0, w), b[1].clamp(0.0, h), b[2].clamp(0.0, w), b[3].clamp(0.0, h)]
}

/// A tensor `[n, 4]` from plain corners.
pub fn from_corners(boxes: &[Corners]) -> Tensor {
    Tensor::from_slice(boxes.as_flattened()).view([-1, 4])
}

/// Areas `[n]` of boxes `[n, 4]`.
pub fn areas(boxes: &Tensor) -> Tensor {
    let [x1, y1, x2, y2] = columns(boxes);
    (x2 - x1) * (y2 - y1)
}

/// Generalised IoU loss of pairs (Rezatofighi et al. 2019), `1 - GIoU`: `[n, 4]` and `[n, 4]` to `[n]`, differentiable.
///
/// GIoU takes from the IoU the part of the smallest enclosing box that the union leaves empty, so that boxes that do not touch
/// are still drawn together.
pub fn giou_loss(a: &Tensor, b: &Tensor) -> Tensor {
    const EPS: f64 = 1e-7;
    let [ax1, ay1, ax2, ay2] = columns(a);
    let [bx1, by1, bx2, by2] = columns(b);
    let w = ax2.minimum(&bx2) - ax1.maximum(&bx1);
    let h = ay2.minimum(&by2) - ay1.maximum(&by1);
    let inter = w.relu() * h.relu();
    let union = areas(a) + areas(b) - &inter;
    let hull = (ax2.maximum(&bx2) - ax1.minimum(&bx1)) * (ay2.maximum(&by2) - ay1.minimum(&by1));
    let giou = inter / (&union + EPS) - (&hull - union) / (hull + EPS);
    1.0 - giou
}

/// x1, y1, x2, y2 `[n]` each.
fn columns(boxes: &Tensor) -> [Tensor; 4] {
    [0, 1, 2, 3].map(|i| boxes.select(1, i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vec(t: &Tensor) -> Vec<f32> {
        Vec::<f32>::try_from(t.reshape(-1)).unwrap()
    }

    /// Squares of side 2 that share a 1 x 1 corner: hull 3 x 3, union 7, so GIoU = 1/7 - 2/9. Far box: hull 11 x 12, union 6, so GIoU = -126/132.
    #[test]
    fn giou_by_hand() {
        let a = from_corners(&[[0.0, 0.0, 2.0, 2.0]; 3]);
        let b = from_corners(&[[1.0, 1.0, 3.0, 3.0], [10.0, 10.0, 11.0, 12.0], [0.0, 0.0, 2.0, 2.0]]);
        let expected = [1.0 - (1.0 / 7.0 - 2.0 / 9.0), 1.0 + 126.0 / 132.0, 0.0];
        for (got, want) in vec(&giou_loss(&a, &b)).iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{got} {want}");
        }
    }

    #[test]
    fn a_box_ends_with_the_image() {
        assert_eq!(clip([-3.0, 5.0, 50.0, 70.0], [60, 40]), [0.0, 5.0, 40.0, 60.0]);
    }
}
