//! Boxes as offsets from anchors, and back.
//!
//! A head does not predict pixels. It predicts how an anchor (or proposal) of width `w`, height `h` and centre `(x, y)` has to be
//! moved and stretched (R-CNN, Girshick et al. 2014, appendix C):
//!
//! ```text
//! dx = (x' - x) / w      dw = ln(w' / w)
//! dy = (y' - y) / h      dh = ln(h' / h)
//! ```
//!
//! which makes the targets independent of the size of the object. Each may be multiplied by a weight (10, 10, 5, 5 in the box
//! head of Faster R-CNN) so that targets have about unit variance. Decoding limits `dw` and `dh` to `ln(1000 / 16)`: an untrained
//! head cannot make infinite boxes.
//!
//! Everything comes twice: on plain arrays for what needs no gradient (targets, post-processing) and on tensors for losses that
//! look at decoded boxes.

use tch::Tensor;

/// A box by its corners x1, y1, x2, y2.
pub type Corners = [f32; 4];

/// Upper limit of `dw` and `dh` in decoding: `ln(1000 / 16)`.
pub const MAX_LOG_SCALE: f64 = 4.135_166_556_742_356;

/// Encodes and decodes with one set of weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxCoder {
    /// Factors of dx, dy, dw, dh.
    pub weights: [f32; 4],
}

impl BoxCoder {
    /// Weights of 1, as RetinaNet and the RPN have them.
    pub const UNIT: Self = Self { weights: [1.0; 4] };

    /// The offsets that turn `anchor` into `target`.
    pub fn encode(&self, target: Corners, anchor: Corners) -> [f32; 4] {
        let [wx, wy, ww, wh] = self.weights;
        let (aw, ah) = (anchor[2] - anchor[0], anchor[3] - anchor[1]);
        let (ax, ay) = (anchor[0] + 0.5 * aw, anchor[1] + 0.5 * ah);
        let (tw, th) = (target[2] - target[0], target[3] - target[1]);
        let (tx, ty) = (target[0] + 0.5 * tw, target[1] + 0.5 * th);
        [wx * (tx - ax) / aw, wy * (ty - ay) / ah, ww * (tw / aw).ln(), wh * (th / ah).ln()]
    }

    /// The box that `deltas` make of `anchor`.
    pub fn decode(&self, deltas: [f32; 4], anchor: Corners) -> Corners {
        let [wx, wy, ww, wh] = self.weights;
        let limit = MAX_LOG_SCALE as f32;
        let (aw, ah) = (anchor[2] - anchor[0], anchor[3] - anchor[1]);
        let x = deltas[0] / wx * aw + (anchor[0] + 0.5 * aw);
        let y = deltas[1] / wy * ah + (anchor[1] + 0.5 * ah);
        let half_w = 0.5 * ((deltas[2] / ww).min(limit).exp() * aw);
        let half_h = 0.5 * ((deltas[3] / wh).min(limit).exp() * ah);
        [x - half_w, y - half_h, x + half_w, y + half_h]
    }

    /// [`BoxCoder::encode`] on tensors: targets `[n, 4]`, anchors `[n, 4]` to offsets `[n, 4]`.
    pub fn encode_tensor(&self, targets: &Tensor, anchors: &Tensor) -> Tensor {
        let [wx, wy, ww, wh] = self.weights.map(f64::from);
        let [ax, ay, aw, ah] = centre_size(anchors);
        let [tx, ty, tw, th] = centre_size(targets);
        let dx = (tx - ax) / &aw * wx;
        let dy = (ty - ay) / &ah * wy;
        let dw = (tw / aw).log() * ww;
        let dh = (th / ah).log() * wh;
        Tensor::cat(&[dx, dy, dw, dh], 1)
    }

    /// [`BoxCoder::decode`] on tensors, differentiable: offsets `[n, 4 k]` (for `k` classes), anchors `[n, 4]` to boxes `[n, 4 k]`.
    pub fn decode_tensor(&self, deltas: &Tensor, anchors: &Tensor) -> Tensor {
        let [wx, wy, ww, wh] = self.weights.map(f64::from);
        let [ax, ay, aw, ah] = centre_size(&anchors.to_kind(deltas.kind()));
        let size = deltas.size();
        let d = deltas.view([size[0], size[1] / 4, 4]);
        let x = d.select(2, 0) / wx * &aw + ax;
        let y = d.select(2, 1) / wy * &ah + ay;
        let half_w = (d.select(2, 2) / ww).clamp_max(MAX_LOG_SCALE).exp() * aw * 0.5;
        let half_h = (d.select(2, 3) / wh).clamp_max(MAX_LOG_SCALE).exp() * ah * 0.5;
        Tensor::stack(&[&x - &half_w, &y - &half_h, x + half_w, y + half_h], 2).view([size[0], size[1]])
    }
}

/// Centre x and y, width and height, `[n, 1]` each.
fn centre_size(boxes: &Tensor) -> [Tensor; 4] {
    let [x1, y1, x2, y2] = [0, 1, 2, 3].map(|i| boxes.narrow(1, i, 1));
    let (w, h) = (x2 - &x1, y2 - &y1);
    [x1 + &w * 0.5, y1 + &h * 0.5, w, h]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANCHOR: Corners = [10.0, 20.0, 30.0, 60.0];

    /// By hand: the anchor is 20 x 40 around (20, 40); the target is 40 x 20 around (25, 60).
    #[test]
    fn encodes_by_the_definition() {
        let target = [5.0, 50.0, 45.0, 70.0];
        let expected = [5.0 / 20.0, 20.0 / 40.0, 2f32.ln(), 0.5f32.ln()];
        assert_eq!(BoxCoder::UNIT.encode(target, ANCHOR), expected);
        let weighted = BoxCoder { weights: [10.0, 10.0, 5.0, 5.0] }.encode(target, ANCHOR);
        assert_eq!(weighted, [2.5, 5.0, 5.0 * 2f32.ln(), 5.0 * 0.5f32.ln()]);
    }

    #[test]
    fn decoding_undoes_encoding() {
        let coder = BoxCoder { weights: [10.0, 10.0, 5.0, 5.0] };
        let target = [5.0, 50.0, 45.5, 70.25];
        let back = coder.decode(coder.encode(target, ANCHOR), ANCHOR);
        for (b, t) in back.iter().zip(target) {
            assert!((b - t).abs() < 1e-4, "{back:?}");
        }
    }

    /// `exp` is limited at 1000 / 16 = 62.5 times the anchor.
    #[test]
    fn growth_is_limited() {
        let huge = BoxCoder::UNIT.decode([0.0, 0.0, 100.0, 0.0], ANCHOR);
        assert!((huge[2] - huge[0] - 62.5 * 20.0).abs() < 1e-2, "{huge:?}");
        assert_eq!(huge[3] - huge[1], 40.0);
    }

    #[test]
    fn tensors_and_arrays_agree() {
        let coder = BoxCoder { weights: [10.0, 10.0, 5.0, 5.0] };
        let (target, deltas) = ([5.0, 50.0, 45.0, 70.0], [0.3, -0.2, 0.5, 30.0]);
        let row = |v: [f32; 4]| Tensor::from_slice(&v).view([1, 4]);
        let close = |t: Tensor, v: [f32; 4]| {
            let got = Vec::<f32>::try_from(t.reshape(-1)).unwrap();
            got.iter().zip(v).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0))
        };
        assert!(close(coder.encode_tensor(&row(target), &row(ANCHOR)), coder.encode(target, ANCHOR)));
        assert!(close(coder.decode_tensor(&row(deltas), &row(ANCHOR)), coder.decode(deltas, ANCHOR)));
        let two_classes = Tensor::cat(&[row(deltas), row(deltas)], 1);
        let both = coder.decode_tensor(&two_classes, &row(ANCHOR));
        assert_eq!(both.size(), [1, 8]);
        assert!(close(both.narrow(1, 4, 4), coder.decode(deltas, ANCHOR)));
    }
}
