//! The kernels' definitions in double precision, written as plainly as can be.

use repghost_kernels::cuda::roi_align::{Region, Sampling};
use tch::{Kind, Tensor};

/// RoIAlign by its definition. Positions are computed in single precision, as everywhere, so that samples fall on the same side
/// of a border.
pub fn roi_align(maps: &[Tensor], scales: &[f32], regions: &[Region], sampling: Sampling) -> Tensor {
    let bins = sampling.bins as usize;
    let channels = maps[0].size()[1] as usize;
    let held: Vec<Vec<f64>> = maps
        .iter()
        .map(|m| Vec::<f64>::try_from(m.to_kind(Kind::Double).contiguous().reshape([-1])).unwrap_or_default())
        .collect();
    let mut out = vec![0f64; regions.len() * channels * bins * bins];
    for (r, region) in regions.iter().enumerate() {
        let size = maps[region.level].size();
        let (height, width) = (size[2] as usize, size[3] as usize);
        let [x1, y1, x2, y2] = region.bbox;
        let rows = samples(sampling, y1, y2, scales[region.level], height);
        let columns = samples(sampling, x1, x2, scales[region.level], width);
        for c in 0..channels {
            let plane = &held[region.level][(region.image * channels + c) * height * width..][..height * width];
            for (ph, ys) in rows.iter().enumerate() {
                for (pw, xs) in columns.iter().enumerate() {
                    let taps = ys.iter().flat_map(|y| xs.iter().map(move |x| (y, x)));
                    let sum: f64 = taps.map(|((y, wy), (x, wx))| wy * wx * plane[y * width + x]).sum();
                    out[((r * channels + c) * bins + ph) * bins + pw] = sum;
                }
            }
        }
    }
    Tensor::from_slice(&out).view([regions.len() as i64, channels as i64, bins as i64, bins as i64])
}

/// Pixels and weights per bin of one axis.
fn samples(sampling: Sampling, lo: f32, hi: f32, scale: f32, size: usize) -> Vec<Vec<(usize, f64)>> {
    let offset = if sampling.aligned != 0 { 0.5 } else { 0.0 };
    let start = lo * scale - offset;
    let mut length = hi * scale - offset - start;
    if sampling.aligned == 0 {
        length = length.max(1.0);
    }
    let bin = length / sampling.bins as f32;
    let grid = if sampling.ratio > 0 { sampling.ratio as f32 } else { bin.ceil() };
    let count = if start.is_finite() && grid <= 65_536.0 && size > 0 { grid.max(0.0) as usize } else { 0 };
    let of_bin = |b: i32| {
        let mut taps = Vec::new();
        for i in 0..count {
            let at = start + b as f32 * bin + (i as f32 + 0.5) * bin / grid;
            if !(-1.0..=size as f32).contains(&at) {
                continue;
            }
            let at = at.max(0.0);
            let low = (at as usize).min(size - 1);
            let upper = if low == size - 1 { 0.0 } else { f64::from(at - low as f32) };
            taps.push((low, (1.0 - upper) / count as f64));
            taps.push(((low + 1).min(size - 1), upper / count as f64));
        }
        taps
    };
    (0..sampling.bins).map(of_bin).collect()
}

/// The focal loss and its gradient: logits `[N, A, C]`, classes `[N, A]` (-1 background, -2 ignored), one scale per image.
pub fn focal_loss(logits: &Tensor, classes: &[i32], scales: &[f32], alpha: f32, gamma: f32) -> (f64, Tensor) {
    let size = logits.size();
    let (anchors, outputs) = (size[1] as usize, size[2] as usize);
    let values = Vec::<f64>::try_from(logits.to_kind(Kind::Double).reshape([-1])).unwrap_or_default();
    let (alpha, gamma) = (f64::from(alpha), f64::from(gamma));
    let (mut sum, mut gradient) = (0.0, vec![0f64; values.len()]);
    for (i, logit) in values.iter().enumerate() {
        let (anchor, output) = (i / outputs, i % outputs);
        let (class, scale) = (classes[anchor], f64::from(scales[anchor / anchors]));
        if class == -2 {
            continue;
        }
        let (sign, weight) = if class == output as i32 { (-1.0, alpha * scale) } else { (1.0, (1.0 - alpha) * scale) };
        let x = sign * logit;
        let p = 1.0 / (1.0 + (-x).exp());
        let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
        sum += weight * p.powf(gamma) * softplus;
        gradient[i] = sign * weight * p.powf(gamma) * (gamma * (1.0 - p) * softplus + p);
    }
    (sum, Tensor::from_slice(&gradient).view(size.as_slice()))
}
