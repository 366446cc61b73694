//! Losses of dense detectors.
//!
//! # Focal loss
//!
//! Nearly all of a RetinaNet's hundred thousand anchors are easy background, and their many small losses would drown the few
//! objects. The focal loss (Lin et al. 2017, section 3) scales the cross-entropy of a sigmoid output `p` down where the answer is
//! already right:
//!
//! ```text
//! class present:  alpha       (1 - p)^gamma  -ln(p)
//! class absent:   (1 - alpha)    p^gamma     -ln(1 - p)
//! ```
//!
//! Written with tensor operations this takes about fifteen temporaries of the size of all logits. Here, on the CPU, one pass computes
//! the sum and its derivative together, `f(x) = p^gamma softplus(x)` and `f'(x) = p^gamma (gamma (1 - p) softplus(x) + p)` for an
//! absent class (a present one is `f(-x)` with the other weight), so that one buffer is all that is kept. On other devices, and
//! for other kinds, the same formula is written with tensor operations.

use rayon::prelude::*;
use tch::{Kind, Reduction, Tensor};

use crate::box_coder::BoxCoder;
use crate::boxes::giou_loss;
use crate::slices::{is_plain, with_f32};

/// What one anchor should say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassTarget {
    /// One class is present.
    Class(u32),
    /// None is.
    Background,
    /// Any answer will do.
    Ignored,
}

/// The two constants of the focal loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focal {
    /// Weight of present classes; absent ones have `1 - alpha`.
    pub alpha: f64,
    /// How strongly easy answers are scaled down.
    pub gamma: f64,
}

impl Focal {
    /// Sum over images of `scale * sum of the focal loss`: logits `[N, A, C]`, `A` targets and one scale an image, to a scalar.
    ///
    /// # Panics
    /// When the numbers of targets or scales do not fit the logits, or a class is not below `C`.
    pub fn loss(&self, logits: &Tensor, targets: &[Vec<ClassTarget>], scales: &[f64]) -> Tensor {
        let size = logits.size();
        let (n, a, c) = (size[0] as usize, size[1] as usize, size[2] as usize);
        assert!(targets.len() == n && scales.len() == n && targets.iter().all(|t| t.len() == a), "one target an anchor");
        for target in targets.iter().flatten() {
            assert!(!matches!(target, ClassTarget::Class(k) if *k as usize >= c), "{target:?} of only {c} classes");
        }
        let contiguous = logits.contiguous();
        if is_plain(&contiguous) {
            self.fused(&contiguous, targets, scales, a * c)
        } else {
            self.composed(logits, targets, scales)
        }
    }

    /// One pass in plain Rust, derivative included.
    fn fused(&self, logits: &Tensor, targets: &[Vec<ClassTarget>], scales: &[f64], per_image: usize) -> Tensor {
        let differentiable = logits.requires_grad();
        let mut gradient = vec![0f32; if differentiable { logits.numel() } else { 0 }];
        let value: f64 = with_f32(&logits.detach(), |logits| {
            let mut images = gradient.chunks_mut(per_image.max(1));
            let images: Vec<_> = targets.iter().zip(scales).map(|(t, s)| (t, *s, images.next().unwrap_or_default())).collect();
            let logits = logits.par_chunks(per_image.max(1));
            images.into_par_iter().zip(logits).map(|((t, s, gradient), x)| self.image(x, t, s, gradient)).sum()
        });
        let value = Tensor::from(value).to_kind(Kind::Float);
        if !differentiable {
            return value;
        }
        // The scalar product with the derivative has that derivative; it is added as a difference that is zero.
        let carrier = logits.reshape(-1).dot(&Tensor::from_slice(&gradient));
        value + (&carrier - carrier.detach())
    }

    /// Loss of one image, already scaled. `gradient` is as long as `logits`, or empty.
    fn image(&self, logits: &[f32], targets: &[ClassTarget], scale: f64, gradient: &mut [f32]) -> f64 {
        /// Elements that one task handles.
        const BLOCK: usize = 1 << 13;
        let absent = (1.0 - self.alpha) as f32;
        let factor = absent * scale as f32;
        let term = |x: f32| focal_term(x, self.gamma as f32);
        // First as if no class were present anywhere, which is nearly so …
        let mut sum: f64 = if gradient.is_empty() {
            logits.par_chunks(BLOCK).map(|xs| sum_in_lanes(xs, |x| term(x).0)).sum()
        } else {
            let blocks = gradient.par_chunks_mut(BLOCK).zip(logits.par_chunks(BLOCK));
            blocks
                .map(|(gs, xs)| {
                    gs.iter_mut().zip(xs).for_each(|(g, x)| *g = factor * term(*x).1);
                    sum_in_lanes(xs, |x| term(x).0)
                })
                .sum()
        };
        sum *= f64::from(absent);
        // … then the few other anchors are put right.
        let classes = logits.len() / targets.len().max(1);
        for (i, target) in targets.iter().enumerate() {
            let first = i * classes;
            match *target {
                ClassTarget::Background => {}
                ClassTarget::Ignored => {
                    sum -= logits[first..first + classes].iter().map(|x| f64::from(absent * term(*x).0)).sum::<f64>();
                    if !gradient.is_empty() {
                        gradient[first..first + classes].fill(0.0);
                    }
                }
                ClassTarget::Class(class) => {
                    let at = first + class as usize;
                    let present = self.alpha as f32;
                    let (value, derivative) = term(-logits[at]);
                    sum += f64::from(present * value) - f64::from(absent * term(logits[at]).0);
                    if !gradient.is_empty() {
                        gradient[at] = -present * scale as f32 * derivative;
                    }
                }
            }
        }
        sum * scale
    }

    /// The same with tensor operations.
    fn composed(&self, logits: &Tensor, targets: &[Vec<ClassTarget>], scales: &[f64]) -> Tensor {
        let size = logits.size();
        let (anchors, classes) = (size[1], size[2]);
        let mut present = Vec::new();
        let mut weight = Vec::with_capacity(targets.len() * anchors as usize);
        for (i, (targets, scale)) in targets.iter().zip(scales).enumerate() {
            for (j, target) in targets.iter().enumerate() {
                weight.push(if *target == ClassTarget::Ignored { 0.0 } else { *scale });
                if let ClassTarget::Class(class) = target {
                    present.push((i as i64 * anchors + j as i64) * classes + i64::from(*class));
                }
            }
        }
        let device = logits.device();
        let weight = Tensor::from_slice(&weight).to_kind(logits.kind()).to_device(device).view([-1, anchors, 1]);
        let sign = Tensor::ones_like(logits);
        let _ = sign.view(-1).index_fill_(0, &Tensor::from_slice(&present).to_device(device), -1.0);
        // x for absent classes and -x for present ones: from here on all are alike.
        let x = logits * &sign;
        let alpha = &sign * (0.5 - self.alpha) + 0.5;
        let loss = x.sigmoid().pow_tensor_scalar(self.gamma) * x.softplus() * alpha * weight;
        let kind = if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        loss.sum(kind)
    }
}

/// `p^gamma softplus(x)` and its derivative, `p = sigmoid(x)`.
#[inline(always)]
fn focal_term(x: f32, gamma: f32) -> (f32, f32) {
    let e = (-x.abs()).exp();
    let r = 1.0 / (1.0 + e);
    let (p, q) = if x >= 0.0 { (r, e * r) } else { (e * r, r) };
    let softplus = x.max(0.0) + e.ln_1p();
    let modulation = if gamma == 2.0 { p * p } else { p.powf(gamma) };
    (modulation * softplus, modulation * (gamma * q * softplus + p))
}

/// Sum of `f` in double precision.
fn sum_in_lanes(xs: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    xs.iter().map(|x| f64::from(f(*x))).sum()
}

/// Which loss compares predicted and true boxes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BoxLoss {
    /// Absolute difference of offsets.
    L1,
    /// Squared below `beta`, absolute above.
    SmoothL1 {
        /// Where the two meet.
        beta: f64,
    },
    /// `1 - GIoU` of decoded boxes.
    Giou,
}

impl BoxLoss {
    /// Weighted sum over pairs: offsets `[n, 4]` with gradient, anchors and true boxes `[n, 4]`, weights `[n]`, to a scalar.
    pub fn loss(&self, coder: &BoxCoder, deltas: &Tensor, anchors: &Tensor, truth: &Tensor, weights: &Tensor) -> Tensor {
        let rows = match self {
            Self::Giou => giou_loss(&coder.decode_tensor(deltas, anchors), truth),
            Self::L1 => (deltas - coder.encode_tensor(truth, anchors)).abs().sum_dim_intlist(1, false, None::<Kind>),
            Self::SmoothL1 { beta } => {
                let difference = deltas.smooth_l1_loss(&coder.encode_tensor(truth, anchors), Reduction::None, *beta);
                difference.sum_dim_intlist(1, false, None::<Kind>)
            }
        };
        (rows * weights).sum(None::<Kind>)
    }
}
