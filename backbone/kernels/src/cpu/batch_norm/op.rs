//! From tensors to kernels.

use tch::{Device, Kind, Tensor};

use super::backward::Backward;
use super::forward::{Apply, Statistics};
use super::{Channel, Shape, MOST};
use crate::cpu::conv::{enabled, is_float, is_ours, on_threads, read, write};
use crate::cpu::simd;
use crate::cpu::threads::for_each;
use crate::cpu::workspace::Address;
use crate::custom_op::with_backward;

/// A map and the batch norm that it goes through.
#[derive(Clone, Copy, Debug)]
pub struct Normed<'a> {
    /// `[N, C, H, W]`.
    pub x: &'a Tensor,
    /// Scale `[C]`.
    pub weight: &'a Tensor,
    /// Shift `[C]`.
    pub bias: &'a Tensor,
    /// Running mean and unbiased variance `[C]`; updated where the statistics are the batch's.
    pub running: [&'a Tensor; 2],
    /// Weight of this batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance under the root.
    pub eps: f64,
}

/// The sum of normalised maps of one size, by the statistics of the batch, and a ReLU behind it where `relu`; updates the running statistics.
/// `None` leaves it to libtorch: other devices and kinds of numbers, more than two maps, a single value per channel. Part of autograd's
/// graph like any operation.
pub fn batch_norm_sum(parts: &[Normed], relu: bool) -> Option<Tensor> {
    match parts {
        [a] => sum([a], relu),
        [a, b] => sum([a, b], relu),
        _ => None,
    }
}

fn sum<const K: usize>(parts: [&Normed; K], relu: bool) -> Option<Tensor> {
    let size = parts[0].x.size();
    let fits = |p: &&Normed| {
        is_ours(p.x) && p.x.size() == size && is_float(p.weight, Some(p.bias)) && p.running.iter().all(|t| is_float(t, None))
    };
    if !enabled() || !simd::is_fast() || !parts.iter().all(fits) {
        return None;
    }
    let shape = Shape { images: size[0] as usize, channels: size[1] as usize, area: (size[2] * size[3]) as usize };
    if shape.values() < 2 {
        return None;
    }
    let xs = parts.map(|p| p.x.detach().contiguous());
    let channels = statistics(&parts, &xs, shape);
    let y = Tensor::empty(&size, (Kind::Float, Device::Cpu));
    let (from, to) = (xs.each_ref().map(|x| Address(read(x).cast_mut())), Address(write(&y)));
    on_threads(|| {
        for_each(shape.channels, shape.work(), |channel| {
            let xs = from.map(|x| x.get().cast_const());
            let by = channels.each_ref().map(|c| &c[channel]);
            // SAFETY: all maps are contiguous floats of the shape.
            unsafe { simd::run(Apply { xs, y: to.get(), shape, channel, by, relu }) };
        });
    });
    let wanted = parts.map(|p| [p.x, p.weight, p.bias].map(Tensor::requires_grad));
    let tensors = parts.iter().flat_map(|p| [p.x, p.weight, p.bias]);
    let inputs: Vec<&Tensor> = tensors.zip(wanted.as_flattened()).filter(|(_, wanted)| **wanted).map(|(t, _)| t).collect();
    if inputs.is_empty() {
        return Some(y);
    }
    Some(with_backward(y, &inputs, move |grad| backward(&xs, &channels, shape, relu, wanted, grad)))
}

/// Mean and variance of each channel of each map, and the running ones brought up to date.
fn statistics<const K: usize>(parts: &[&Normed; K], xs: &[Tensor; K], shape: Shape) -> [Vec<Channel>; K] {
    let mut all: [Vec<Channel>; K] = std::array::from_fn(|_| vec![Channel::default(); shape.channels]);
    let (from, out) = (xs.each_ref().map(|x| Address(read(x).cast_mut())), all.each_mut().map(|c| Address(c.as_mut_ptr())));
    on_threads(|| {
        for_each(K * shape.channels, K * shape.work(), |i| {
            let (k, channel) = (i / shape.channels, i % shape.channels);
            // SAFETY: as above; every channel has an entry of its own.
            unsafe { simd::run(Statistics { x: from[k].get(), shape, channel, out: &mut *out[k].get().add(channel) }) };
        });
    });
    for (part, channels) in parts.iter().zip(&mut all) {
        let [weight, bias] = [part.weight, part.bias].map(|t| t.detach().contiguous());
        let (weight, bias) = (values(&weight), values(&bias));
        for (c, (w, b)) in channels.iter_mut().zip(weight.iter().zip(bias)) {
            c.inverse = 1.0 / (c.variance + part.eps).sqrt();
            c.scale = (f64::from(*w) * c.inverse) as f32;
            c.shift = (f64::from(*b) - c.mean * f64::from(*w) * c.inverse) as f32;
        }
        let unbiased = shape.values() as f64 / (shape.values() - 1) as f64;
        let batch =
            [channels.iter().map(|c| c.mean).collect::<Vec<_>>(), channels.iter().map(|c| c.variance * unbiased).collect()];
        tch::no_grad(|| {
            for (running, batch) in part.running.into_iter().zip(batch) {
                let batch = Tensor::from_slice(&batch).to_kind(Kind::Float);
                let _ = running.shallow_clone().g_mul_scalar_(1.0 - part.momentum).g_add_(&(batch * part.momentum));
            }
        });
    }
    all
}

/// The values of a contiguous tensor of floats.
fn values(t: &Tensor) -> &[f32] {
    // SAFETY: so many floats live as long as the tensor.
    unsafe { std::slice::from_raw_parts(read(t), t.numel()) }
}

fn backward<const K: usize>(
    xs: &[Tensor; K],
    channels: &[Vec<Channel>; K],
    shape: Shape,
    relu: bool,
    wanted: [[bool; 3]; K],
    grad: &Tensor,
) -> Vec<Tensor> {
    let grad = grad.contiguous();
    let dxs: [Option<Tensor>; K] = std::array::from_fn(|k| wanted[k][0].then(|| xs[k].empty_like()));
    let mut sums = vec![[0f64; 1 + MOST]; shape.channels];
    let from = xs.each_ref().map(|x| Address(read(x).cast_mut()));
    let to = dxs.each_ref().map(|dx| Address(dx.as_ref().map_or(std::ptr::null_mut(), write)));
    let (g, out) = (Address(read(&grad).cast_mut()), Address(sums.as_mut_ptr()));
    on_threads(|| {
        for_each(shape.channels, 2 * K * shape.work(), |channel| {
            let xs = from.map(|x| x.get().cast_const());
            let by = channels.each_ref().map(|c| &c[channel]);
            // SAFETY: as in the forward; every channel has sums of its own.
            unsafe {
                let out = &mut *out.get().add(channel);
                simd::run(Backward { xs, grad: g.get(), shape, channel, by, relu, dxs: to.map(Address::get), out });
            }
        });
    });
    let bias = || Tensor::from_slice(&sums.iter().map(|s| s[0] as f32).collect::<Vec<_>>());
    let weight = |k: usize| {
        let of = |(s, c): (&[f64; 1 + MOST], &Channel)| (s[1 + k] * c.inverse) as f32;
        Tensor::from_slice(&sums.iter().zip(&channels[k]).map(of).collect::<Vec<_>>())
    };
    let mut gradients = vec![];
    for (k, dx) in dxs.into_iter().enumerate() {
        gradients.extend(dx);
        gradients.extend(wanted[k][1].then(|| weight(k)));
        gradients.extend(wanted[k][2].then(bias));
    }
    gradients
}
