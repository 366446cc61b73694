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
//! absent class (a present one is `f(-x)` with the other weight), so that one buffer is all that is kept. Cards have a kernel of their own
//! (`repghost_kernels::cuda::focal`). On other devices, and for other kinds, the same formula is written with tensor operations.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Reduction, Tensor};

use crate::box_coder::BoxCoder;
use crate::boxes::giou_loss;
use crate::focal_on_card as card;
use crate::host::{f32_slice, from_fn, is_cpu_f32, upload};

/// `x` with at least single precision: sums of many terms, exponentials and pixel coordinates do not fit half precision.
pub(crate) fn at_least_f32(x: &Tensor) -> Tensor {
    match x.kind() {
        Kind::Double | Kind::Float => x.shallow_clone(),
        _ => x.to_kind(Kind::Float),
    }
}

/// What one anchor is trained to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassTarget {
    /// One class is present.
    Class(u32),
    /// None is.
    Background,
    /// The anchor takes no part in the loss.
    Ignored,
}

impl ClassTarget {
    /// As the card's kernel takes it.
    fn number(&self) -> i32 {
        match self {
            Self::Class(class) => *class as i32,
            Self::Background => card::BACKGROUND,
            Self::Ignored => card::IGNORED,
        }
    }
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
    /// Sum over images of `scale * sum of the focal loss`: logits `[N, A, C]`, `A` targets and one scale per image, to a scalar.
    ///
    /// # Panics
    /// When the numbers of targets or scales do not fit the logits, or a class is not below `C`.
    pub fn loss(&self, logits: &Tensor, targets: &[Vec<ClassTarget>], scales: &[f64]) -> Tensor {
        let size = logits.size();
        let (n, a, c) = (size[0] as usize, size[1] as usize, size[2] as usize);
        assert!(targets.len() == n && scales.len() == n && targets.iter().all(|t| t.len() == a), "one target per anchor");
        for target in targets.iter().flatten() {
            assert!(!matches!(target, ClassTarget::Class(k) if *k as usize >= c), "{target:?} of only {c} classes");
        }
        // The kernel of cards reads half types itself.
        let classes = || targets.iter().flatten().map(ClassTarget::number).collect();
        if let Some(loss) = card::focal_loss(logits, classes, scales, [self.alpha, self.gamma]) {
            return loss;
        }
        let logits = at_least_f32(logits).contiguous();
        if is_cpu_f32(&logits) {
            self.fused(&logits, targets, scales, a * c)
        } else {
            self.composed(&logits, targets, scales)
        }
    }

    /// One pass in plain Rust, derivative included.
    fn fused(&self, logits: &Tensor, targets: &[Vec<ClassTarget>], scales: &[f64], per_image: usize) -> Tensor {
        let sum = |gradient: &mut [f32]| -> f64 {
            let mut images = gradient.chunks_mut(per_image.max(1));
            let images: Vec<_> = targets.iter().zip(scales).map(|(t, s)| (t, *s, images.next().unwrap_or_default())).collect();
            let logits = f32_slice(logits).par_chunks(per_image.max(1));
            images.into_par_iter().zip(logits).map(|((t, s, gradient), x)| self.image(x, t, s, gradient)).sum()
        };
        let scalar = |value: f64| Tensor::from(value).to_kind(Kind::Float);
        if !logits.requires_grad() {
            return scalar(sum(&mut []));
        }
        let mut value = 0.0;
        let gradient = from_fn(&[logits.numel() as i64], |gradient| value = sum(gradient));
        // The scalar product with the derivative has that derivative; it is added as a difference that is zero.
        let carrier = logits.reshape(-1).dot(&gradient);
        scalar(value) + (&carrier - carrier.detach())
    }

    /// Loss of one image, already scaled. `gradient` is as long as `logits`, or empty.
    fn image(&self, logits: &[f32], targets: &[ClassTarget], scale: f64, gradient: &mut [f32]) -> f64 {
        if self.gamma == 2.0 {
            self.image_with(logits, targets, scale, gradient, |p| p * p)
        } else {
            self.image_with(logits, targets, scale, gradient, |p| p.powf(self.gamma as f32))
        }
    }

    /// [`Focal::image`] with the modulation `p^gamma` as a function, so that the usual square is compiled into the loop.
    fn image_with(
        &self,
        logits: &[f32],
        targets: &[ClassTarget],
        scale: f64,
        gradient: &mut [f32],
        modulation: impl Fn(f32) -> f32 + Sync,
    ) -> f64 {
        /// Elements that one task handles.
        const BLOCK: usize = 1 << 12;
        let gamma = self.gamma as f32;
        let term = |x: f32| focal_term(x, gamma, &modulation);
        let (absent, present) = ((1.0 - self.alpha) * scale, self.alpha * scale);
        // First as if no class were present anywhere, which is nearly so …
        let mut sum: f64 = if gradient.is_empty() {
            logits.par_chunks(BLOCK).map(|xs| pass(xs, &mut [], 0.0, term)).sum()
        } else {
            let blocks = gradient.par_chunks_mut(BLOCK).zip(logits.par_chunks(BLOCK));
            blocks.map(|(out, xs)| pass(xs, out, absent as f32, term)).sum()
        };
        sum *= absent;
        // … then the few other anchors are put right.
        let classes = logits.len() / targets.len().max(1);
        for (i, target) in targets.iter().enumerate() {
            let row = i * classes..(i + 1) * classes;
            match *target {
                ClassTarget::Background => {}
                ClassTarget::Ignored => {
                    sum -= absent * logits[row.clone()].iter().map(|x| f64::from(term(*x).0)).sum::<f64>();
                    if !gradient.is_empty() {
                        gradient[row].fill(0.0);
                    }
                }
                ClassTarget::Class(class) => {
                    let at = row.start + class as usize;
                    let (value, derivative) = term(-logits[at]);
                    sum += present * f64::from(value) - absent * f64::from(term(logits[at]).0);
                    if !gradient.is_empty() {
                        gradient[at] = -present as f32 * derivative;
                    }
                }
            }
        }
        sum
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
        let weight = upload(&Tensor::from_slice(&weight).to_kind(logits.kind()), device).view([-1, anchors, 1]);
        let sign = Tensor::ones_like(logits);
        let _ = sign.view(-1).index_fill_(0, &upload(&Tensor::from_slice(&present), device), -1.0);
        // x for absent classes and -x for present ones: from here on all are alike.
        let x = logits * &sign;
        let alpha = &sign * (0.5 - self.alpha) + 0.5;
        (x.sigmoid().pow_tensor_scalar(self.gamma) * x.softplus() * alpha * weight).sum(None::<Kind>)
    }
}

/// `p^gamma softplus(x)` and its derivative, `p = sigmoid(x)`. Free of branches, so that loops over it are vectorised.
#[inline(always)]
fn focal_term(x: f32, gamma: f32, modulation: impl Fn(f32) -> f32) -> (f32, f32) {
    let e = exp_of_negative(-x.abs());
    let r = 1.0 / (1.0 + e);
    let (small, large) = (e * r, r);
    let (p, q) = if x >= 0.0 { (large, small) } else { (small, large) };
    let softplus = x.max(0.0) + ln_1p_of_fraction(e);
    let modulation = modulation(p);
    // A logit that is not a number must not be mended by the branch-free functions.
    let poison = x * 0.0;
    (modulation * softplus + poison, modulation * (gamma * q * softplus + p))
}

/// `exp(t)` for `t <= 0`, within 2e-7 of the value: `2^n` by the exponent bits, the rest by Taylor's series.
#[inline(always)]
fn exp_of_negative(t: f32) -> f32 {
    /// Below, the result would not be a normal number; 1.2e-38 does as well.
    const LOWEST: f32 = -87.0;
    /// 1.5 * 2^23: adding it rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let t = t.max(LOWEST);
    let rounded = t * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (t - n * LN_2_HIGH) - n * LN_2_LOW;
    let tail = 1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0)));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * tail)));
    series * f32::from_bits((rounded.to_bits() << 23).wrapping_add(1f32.to_bits()))
}

/// `ln(1 + e)` for `0 <= e <= 1`, within 2e-7 of the value: `2 artanh(e / (2 + e))` by its series.
#[inline(always)]
fn ln_1p_of_fraction(e: f32) -> f32 {
    let s = e / (2.0 + e);
    let z = s * s;
    let tail = 1.0 / 7.0 + z * (1.0 / 9.0 + z * (1.0 / 11.0 + z * (1.0 / 13.0)));
    2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * tail)))
}

/// Sum of the values of `term` over `xs`, in double precision; `factor` times the derivatives go to `out`, unless it is empty.
#[inline(always)]
fn pass(xs: &[f32], out: &mut [f32], factor: f32, term: impl Fn(f32) -> (f32, f32)) -> f64 {
    /// Elements handled together, in arrays of fixed size: that is what makes compilers vectorise.
    const LANES: usize = 16;
    let mut sums = [0f64; LANES];
    let mut outs = out.chunks_mut(LANES);
    for block in xs.chunks(LANES) {
        // The last block is filled up with logits that lose nothing.
        let mut x = [f32::MIN; LANES];
        x[..block.len()].copy_from_slice(block);
        let (mut values, mut derivatives) = ([0f32; LANES], [0f32; LANES]);
        for l in 0..LANES {
            let (value, derivative) = term(x[l]);
            (values[l], derivatives[l]) = (value, factor * derivative);
        }
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(value));
        if let Some(out) = outs.next() {
            out.copy_from_slice(&derivatives[..out.len()]);
        }
    }
    sums.iter().sum()
}

/// Which loss compares predicted and true boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BoxLoss {
    /// Absolute difference of offsets (torchvision's `retinanet_resnet50_fpn`, mmdetection).
    L1,
    /// Squared near zero, absolute beyond `smooth_l1_beta`.
    SmoothL1,
    /// Generalised IoU of decoded boxes, `1 - GIoU` (torchvision's `retinanet_resnet50_fpn_v2` and `fcos_resnet50_fpn`).
    Giou,
}

/// Pairs of predicted and true boxes, `n` rows each.
#[derive(Debug)]
pub struct BoxPairs<'a> {
    /// Predicted offsets `[n, 4]`, with gradient.
    pub deltas: &'a Tensor,
    /// Anchors `[n, 4]`.
    pub anchors: &'a Tensor,
    /// True boxes `[n, 4]`.
    pub targets: &'a Tensor,
    /// Factor of each pair's loss `[n]`.
    pub weights: &'a Tensor,
}

impl BoxLoss {
    /// Weighted sum over pairs, a scalar. `smooth_l1_beta` is where the smooth L1 loss turns from squared to absolute.
    pub fn loss(self, coder: &BoxCoder, pairs: &BoxPairs<'_>, smooth_l1_beta: f64) -> Tensor {
        let BoxPairs { deltas, anchors, targets, weights } = pairs;
        let offsets = || coder.encode_tensor(targets, anchors);
        let rows = match self {
            Self::L1 => (*deltas - offsets()).abs().sum_dim_intlist(1, false, None::<Kind>),
            Self::SmoothL1 => {
                deltas.smooth_l1_loss(&offsets(), Reduction::None, smooth_l1_beta).sum_dim_intlist(1, false, None::<Kind>)
            }
            Self::Giou => giou_loss(&coder.decode_tensor(deltas, anchors), targets),
        };
        (rows * *weights).sum(None::<Kind>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The branch-free functions against the standard library's, in double precision.
    #[test]
    fn approximations_are_exact_to_single_precision() {
        let (mut worst_exp, mut worst_ln) = (0f64, 0f64);
        for i in 0..=870_000 {
            let t = -(i as f32) * 1e-4;
            let e = exp_of_negative(t);
            worst_exp = worst_exp.max((f64::from(e) / f64::from(t).exp() - 1.0).abs());
            worst_ln = worst_ln.max((f64::from(ln_1p_of_fraction(e)) / f64::from(e).ln_1p() - 1.0).abs());
        }
        println!("exp {worst_exp:.1e}, ln {worst_ln:.1e}");
        assert!(worst_exp < 3e-7 && worst_ln < 3e-7, "exp {worst_exp}, ln {worst_ln}");
        assert_eq!((exp_of_negative(0.0), exp_of_negative(f32::NEG_INFINITY) < 2e-38), (1.0, true));
    }

    /// At a logit of 0, p = 1/2 and the cross-entropy is ln 2: alpha/4 ln 2 for the class, 3 times as much for the other.
    #[test]
    fn focal_by_hand() {
        let focal = Focal { alpha: 0.25, gamma: 2.0 };
        let loss = |targets: Vec<ClassTarget>| {
            let logits = Tensor::zeros([1, targets.len() as i64, 2], (Kind::Float, tch::Device::Cpu));
            f64::try_from(focal.loss(&logits, &[targets], &[1.0])).unwrap()
        };
        let unit = 2f64.ln() / 16.0;
        assert!((loss(vec![ClassTarget::Class(1)]) - 4.0 * unit).abs() < 1e-7);
        assert!((loss(vec![ClassTarget::Background]) - 6.0 * unit).abs() < 1e-7);
        assert!((loss(vec![ClassTarget::Ignored, ClassTarget::Background]) - 6.0 * unit).abs() < 1e-7);
        assert_eq!(loss(vec![ClassTarget::Ignored]), 0.0);
    }

    /// The pass in plain Rust against the formula in tensors, at another gamma and with wild logits.
    #[test]
    fn both_ways_agree() {
        use repghost_backbone::synthetic::input;
        for gamma in [2.0, 1.5, 0.0] {
            let focal = Focal { alpha: 0.3, gamma };
            let targets: Vec<Vec<ClassTarget>> = (0..2)
                .map(|i| {
                    let target = |j: u32| match (i + j) % 7 {
                        0 => ClassTarget::Class(j % 5),
                        1 => ClassTarget::Ignored,
                        _ => ClassTarget::Background,
                    };
                    (0..1001).map(target).collect()
                })
                .collect();
            let run = |kind: Kind| {
                let logits = (input("focal", &[2, 1001, 5]) * 30.0).to_kind(kind).set_requires_grad(true);
                let loss = focal.loss(&logits, &targets, &[0.5, 0.25]);
                loss.backward();
                (f64::try_from(loss).unwrap(), logits.grad().to_kind(Kind::Double))
            };
            let ((fused, fused_gradient), (composed, gradient)) = (run(Kind::Float), run(Kind::Double));
            assert!((fused - composed).abs() < 1e-6 * composed, "gamma {gamma}: {fused} {composed}");
            let difference = f64::try_from((fused_gradient - &gradient).abs().max()).unwrap();
            let largest = f64::try_from(gradient.abs().max()).unwrap();
            assert!(difference < 1e-6 * largest, "gamma {gamma}: {difference} of {largest}");
        }
    }

    /// Half-precision logits give the loss of the same numbers in single precision: nothing is summed in half.
    #[test]
    fn half_precision_logits_are_widened_first() {
        let logits = (repghost_backbone::synthetic::input("focal.half", &[1, 4000, 3]) * 4.0).to_kind(Kind::BFloat16);
        let focal = Focal { alpha: 0.25, gamma: 2.0 };
        let loss = |l: &Tensor| f64::try_from(focal.loss(l, &[vec![ClassTarget::Background; 4000]], &[1.0])).unwrap();
        assert_eq!(loss(&logits), loss(&logits.to_kind(Kind::Float)));
    }

    #[test]
    fn a_nan_logit_gives_a_nan_loss() {
        let logits = Tensor::from_slice(&[0f32, f32::NAN]).view([1, 1, 2]);
        let loss = Focal { alpha: 0.25, gamma: 2.0 }.loss(&logits, &[vec![ClassTarget::Background]], &[1.0]);
        assert!(f64::try_from(loss).unwrap().is_nan());
    }
}
