//! The best candidates of each pyramid level, picked on the device of a head's outputs. They come to main memory in one copy: each copy waits
//! for the device, and whole outputs of a batch are hundreds of megabytes.

use std::ops::Range;

use tch::{Kind, Tensor};

use crate::host::{f32_slice, to_cpu_f32};

/// One of the best: `value` of `class` at an anchor, and the four numbers of its box.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Picked {
    pub value: f32,
    /// Index among all anchors.
    pub anchor: usize,
    pub class: usize,
    pub numbers: [f32; 4],
}

/// Of each image of `values [N, A, C]` the `k` greatest of each level, level by level, greatest first, with their rows of `numbers [N, A, 4]`.
/// Of equals at the limit any may be left out, except with one class: there it is the later ones, as on the host.
pub(crate) fn pick(values: &Tensor, numbers: &Tensor, levels: impl Iterator<Item = Range<usize>>, k: usize) -> Vec<Vec<Picked>> {
    let (values, numbers) = (values.detach(), numbers.detach());
    let size = values.size();
    let (images, anchors, classes) = (size[0], size[1], size[2]);
    // Every whole number up to here has a float of its own.
    assert!(anchors < 1 << 24 && classes < 1 << 24, "{anchors} anchors are too many");
    let keys = (classes == 1).then(|| keys(&values.squeeze_dim(2)));
    let mut parts = Vec::new();
    for level in levels {
        let (start, len) = (level.start as i64, level.len() as i64);
        let k = (len * classes).min(k as i64);
        let indices = match &keys {
            Some(keys) => keys.narrow(1, start, len).topk(k, 1, true, true).1,
            None => values.narrow(1, start, len).reshape([images, len * classes]).topk(k, 1, true, true).1,
        };
        parts.push(indices + start * classes);
    }
    let indices = Tensor::cat(&parts, 1);
    let rows = indices.divide_scalar_mode(classes, "floor");
    let picked = values.reshape([images, anchors * classes]).gather(1, &indices, false).to_kind(Kind::Float);
    let boxes = numbers.gather(1, &rows.unsqueeze(2).expand([-1, -1, 4], false), false).to_kind(Kind::Float);
    let column = |t: &Tensor| t.to_kind(Kind::Float).unsqueeze(2);
    let packed = Tensor::cat(&[picked.unsqueeze(2), column(&rows), column(&(&indices - &rows * classes)), boxes], 2);
    let count = packed.size()[1] as usize;
    let packed = to_cpu_f32(&packed);
    let all = f32_slice(&packed).chunks_exact(7).map(|p| Picked {
        value: p[0],
        anchor: p[1] as usize,
        class: p[2] as usize,
        numbers: [p[3], p[4], p[5], p[6]],
    });
    let all: Vec<Picked> = all.collect();
    if count == 0 {
        return vec![Vec::new(); images as usize];
    }
    all.chunks(count).map(<[Picked]>::to_vec).collect()
}

/// Whole numbers in the order of `values [N, M]` by [`f32::total_cmp`], and of equals the first greatest.
fn keys(values: &Tensor) -> Tensor {
    let bits = values.to_kind(Kind::Float).contiguous().view_dtype(Kind::Int);
    let turned = bits.bitwise_right_shift_tensor_scalar(31).bitwise_and(i64::from(i32::MAX));
    let m = values.size()[1];
    let later = Tensor::arange_start_step(m - 1, -1, -1, (Kind::Int64, values.device()));
    bits.bitwise_xor_tensor(&turned).to_kind(Kind::Int64) * (1i64 << 32) + later
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_of_each_level_come_first_and_equals_in_their_order() {
        let values = Tensor::from_slice(&[1f32, -2.0, 1.0, 1.0, -0.0, 0.0, f32::NEG_INFINITY, -3.0, -5.0, 7.0]).view([2, 5, 1]);
        let numbers = Tensor::arange(40, (Kind::Float, tch::Device::Cpu)).view([2, 5, 4]);
        let found = pick(&values, &numbers, [0..4, 4..5].into_iter(), 2);
        let short = |p: &Picked| (p.value, p.anchor, p.numbers[0]);
        let of = |i: usize| -> Vec<_> { found[i].iter().map(short).collect() };
        assert_eq!(of(0), [(1.0, 0, 0.0), (1.0, 2, 8.0), (-0.0, 4, 16.0)]);
        assert_eq!(of(1), [(0.0, 0, 20.0), (-3.0, 2, 28.0), (7.0, 4, 36.0)]);
    }

    #[test]
    fn classes_are_apart() {
        let values = Tensor::from_slice(&[1f32, 5.0, 2.0, 4.0, 3.0, 0.0]).view([1, 3, 2]);
        let numbers = Tensor::zeros([1, 3, 4], (Kind::Float, tch::Device::Cpu));
        let found = pick(&values, &numbers, std::iter::once(0..3), 4);
        let of: Vec<_> = found[0].iter().map(|p| (p.value, p.anchor, p.class)).collect();
        assert_eq!(of, [(5.0, 0, 1), (4.0, 1, 1), (3.0, 2, 0), (2.0, 1, 0)]);
        assert!(pick(&values.narrow(1, 0, 0), &numbers.narrow(1, 0, 0), std::iter::once(0..0), 4)[0].is_empty());
    }
}
