//! From tensors to kernels: which convolutions are ours, and their place in autograd's graph.

use std::sync::atomic::{AtomicBool, Ordering};

use tch::{Device, Kind, Tensor};

use super::depthwise::{self, Geometry};
use super::simd;
use super::threads::with_threads;
use super::winograd::{Convolution, Maps};
use crate::custom_op::with_backward;

static ENABLED: AtomicBool = AtomicBool::new(true);

/// Whether [`conv2d`] takes any convolution in this process (`train.kernels: fast`), as it does from the start.
pub fn enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

/// Switches [`conv2d`] on or off for the whole process. Off leaves every convolution to libtorch.
pub fn set_enabled(on: bool) {
    ENABLED.store(on, Ordering::Relaxed);
}

/// Runs something with every operation left to libtorch, as its tracer needs: what a kernel writes into a tensor's memory is no operation of
/// a graph.
pub fn with_libtorch_alone<T>(f: impl FnOnce() -> T) -> T {
    let before = ENABLED.swap(false, Ordering::Relaxed);
    let result = f();
    set_enabled(before);
    result
}

/// Geometry of a 2-D convolution, as PyTorch names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Step of the window.
    pub stride: i64,
    /// Zeros added at each border: top and bottom, left and right.
    pub padding: [i64; 2],
    /// Step between taps of the filter.
    pub dilation: i64,
    /// Groups of channels.
    pub groups: i64,
}

/// The kernel that serves a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    Winograd,
    Depthwise,
}

/// Fewest channels, in and out, for which Winograd's algorithm was measured to be faster than libtorch.
const FEWEST_CHANNELS: [i64; 2] = [48, 32];

/// The table: which kernel is faster than libtorch's for a layer, if any. It goes by shape alone, so that the choice, and with it every
/// bit of a run, is the same each time on a machine type.
fn choose(weight: &[i64], conv: &Conv) -> Option<Kernel> {
    let &[outputs, inputs, height, width] = weight else { return None };
    let square = height == width && conv.padding == [height / 2; 2] && conv.dilation == 1;
    if !square || !simd::is_fast() {
        return None;
    }
    let depthwise = conv.groups == outputs && inputs == 1 && outputs > 1;
    match (height, conv.stride) {
        (3 | 5, 1 | 2) if depthwise => Some(Kernel::Depthwise),
        (3, 1) if conv.groups == 1 && inputs >= FEWEST_CHANNELS[0] && outputs >= FEWEST_CHANNELS[1] => Some(Kernel::Winograd),
        _ => None,
    }
}

pub(super) fn is_ours(x: &Tensor) -> bool {
    x.device() == Device::Cpu && x.kind() == Kind::Float && x.dim() == 4 && x.numel() > 0
}

/// The convolution of `x`, `[images, channels, height, width]`, where a kernel of this crate is faster than libtorch's; `None` leaves it to
/// libtorch. Part of autograd's graph like any operation.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, conv: &Conv) -> Option<Tensor> {
    if !enabled() || !is_ours(x) || !is_float(weight, bias) {
        return None;
    }
    match choose(&weight.size(), conv)? {
        Kernel::Winograd => winograd(std::slice::from_ref(x), weight, bias).pop(),
        Kernel::Depthwise => Some(depthwise_conv(x, weight, bias, conv.stride)),
    }
}

/// The convolutions of pyramid levels with one filter, as [`conv2d`], in one pass over all of them.
pub fn conv2d_levels(xs: &[Tensor], weight: &Tensor, bias: Option<&Tensor>, conv: &Conv) -> Option<Vec<Tensor>> {
    let ours = enabled() && !xs.is_empty() && xs.iter().all(is_ours) && is_float(weight, bias);
    (ours && choose(&weight.size(), conv)? == Kernel::Winograd).then(|| winograd(xs, weight, bias))
}

/// Whether this machine has the vector instructions that the kernels were measured to be faster with.
pub fn available() -> bool {
    simd::is_fast()
}

/// Runs a kernel on as many threads as libtorch would use here.
pub(super) fn on_threads<R>(f: impl FnOnce() -> R) -> R {
    with_threads(tch::get_num_threads().max(1) as usize, f)
}

pub(super) fn is_float(weight: &Tensor, bias: Option<&Tensor>) -> bool {
    [Some(weight), bias].iter().flatten().all(|t| t.device() == Device::Cpu && t.kind() == Kind::Float)
}

pub(super) fn read(t: &Tensor) -> *const f32 {
    t.data_ptr() as *const f32
}

pub(super) fn write(t: &Tensor) -> *mut f32 {
    t.data_ptr() as *mut f32
}

/// What the backward needs of a layer: values without history, and which gradients anyone asks for.
struct Saved {
    xs: Vec<Tensor>,
    weight: Tensor,
    wanted: Wanted,
}

/// Which gradients are needed.
#[derive(Clone)]
struct Wanted {
    xs: Vec<bool>,
    weight: bool,
    bias: bool,
}

impl Wanted {
    fn new(xs: &[Tensor], weight: &Tensor, bias: Option<&Tensor>) -> Self {
        Self {
            xs: xs.iter().map(Tensor::requires_grad).collect(),
            weight: weight.requires_grad(),
            bias: bias.is_some_and(Tensor::requires_grad),
        }
    }

    /// The tensors whose gradients the backward returns, in its order.
    fn inputs<'a>(&self, xs: &'a [Tensor], weight: &'a Tensor, bias: Option<&'a Tensor>) -> Vec<&'a Tensor> {
        let xs = xs.iter().zip(&self.xs).filter(|(_, wanted)| **wanted).map(|(x, _)| x);
        xs.chain(self.weight.then_some(weight)).chain(bias.filter(|_| self.bias)).collect()
    }
}

impl Saved {
    fn new(xs: &[Tensor], weight: &Tensor, wanted: &Wanted) -> Self {
        Self { xs: xs.iter().map(Tensor::detach).collect(), weight: weight.detach(), wanted: wanted.clone() }
    }
}

fn maps(xs: &[Tensor]) -> Vec<Maps> {
    xs.iter()
        .map(|x| {
            let size = x.size();
            Maps { images: size[0] as usize, height: size[2] as usize, width: size[3] as usize }
        })
        .collect()
}

fn winograd(xs: &[Tensor], weight: &Tensor, bias: Option<&Tensor>) -> Vec<Tensor> {
    let wanted = Wanted::new(xs, weight, bias);
    let inputs = wanted.inputs(xs, weight, bias);
    let plain: Vec<Tensor> = xs.iter().map(|x| x.detach().contiguous()).collect();
    let w = weight.detach().contiguous();
    let b = bias.map(|b| b.detach().contiguous());
    let [outputs, channels] = [w.size()[0] as usize, w.size()[1] as usize];
    let maps = maps(xs);
    let sizes: Vec<[i64; 4]> = maps.iter().map(|m| [m.images as i64, outputs as i64, m.height as i64, m.width as i64]).collect();
    let lengths: Vec<i64> = sizes.iter().map(|s| s.iter().product()).collect();
    // Levels lie one after another, so that autograd sees one operation with one result.
    let all = match sizes[..] {
        [size] => size.to_vec(),
        _ => vec![lengths.iter().sum()],
    };
    let flat = Tensor::empty(all, (Kind::Float, Device::Cpu));
    let views = |flat: &Tensor| -> Vec<Tensor> {
        match sizes[..] {
            [_] => vec![flat.shallow_clone()],
            _ => flat.split_with_sizes(&lengths, 0).iter().zip(&sizes).map(|(t, s)| t.view(*s)).collect(),
        }
    };
    let ys = views(&flat);
    let layer = Convolution { maps: &maps, outputs, inputs: channels, weight: read(&w) };
    // SAFETY: all tensors are contiguous floats on the CPU, of the sizes that `maps` has.
    unsafe {
        let from: Vec<_> = plain.iter().map(read).collect();
        let to: Vec<_> = ys.iter().map(write).collect();
        on_threads(|| layer.forward(&from, b.as_ref().map(read), &to));
    }
    if inputs.is_empty() {
        return ys;
    }
    drop(ys);
    let saved = Saved::new(&plain, &w, &wanted);
    let shapes = sizes.clone();
    views(&with_backward(flat, &inputs, move |grad| winograd_backward(&saved, grad, &shapes)))
}

fn winograd_backward(saved: &Saved, grad: &Tensor, sizes: &[[i64; 4]]) -> Vec<Tensor> {
    let grad = grad.contiguous().view([-1]);
    let maps = maps(&saved.xs);
    let mut at = 0;
    let grads: Vec<Tensor> = sizes
        .iter()
        .map(|size| {
            let length: i64 = size.iter().product();
            at += length;
            grad.narrow(0, at - length, length).view(*size)
        })
        .collect();
    let (outputs, inputs) = (saved.weight.size()[0] as usize, saved.weight.size()[1] as usize);
    let from: Vec<_> = grads.iter().map(read).collect();
    let mut out = vec![];
    // Levels whose input needs a gradient; usually all of them.
    let wanted: Vec<usize> = (0..maps.len()).filter(|i| saved.wanted.xs[*i]).collect();
    if !wanted.is_empty() {
        let dx: Vec<Tensor> = wanted.iter().map(|i| saved.xs[*i].empty_like()).collect();
        let levels: Vec<Maps> = wanted.iter().map(|i| maps[*i]).collect();
        let from: Vec<_> = wanted.iter().map(|i| from[*i]).collect();
        let layer = Convolution { maps: &levels, outputs, inputs, weight: read(&saved.weight) };
        // SAFETY: as in the forward.
        unsafe { on_threads(|| layer.input_gradient(&from, &dx.iter().map(write).collect::<Vec<_>>())) };
        out.extend(dx);
    }
    if saved.wanted.weight {
        let dw = saved.weight.empty_like();
        let layer = Convolution { maps: &maps, outputs, inputs, weight: read(&saved.weight) };
        // SAFETY: as in the forward.
        let xs: Vec<_> = saved.xs.iter().map(read).collect();
        unsafe { on_threads(|| layer.weight_gradient(&xs, &from, write(&dw))) };
        out.push(dw);
    }
    if saved.wanted.bias {
        let sums = grads.iter().map(|g| g.sum_dim_intlist([0i64, 2, 3].as_slice(), false, Kind::Float));
        out.extend(sums.reduce(|a, b| a + b));
    }
    out
}

fn depthwise_conv(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: i64) -> Tensor {
    let xs = std::slice::from_ref(x);
    let wanted = Wanted::new(xs, weight, bias);
    let inputs = wanted.inputs(xs, weight, bias);
    let plain = x.detach().contiguous();
    let w = weight.detach().contiguous();
    let b = bias.map(|b| b.detach().contiguous());
    let size = plain.size();
    let g = Geometry {
        images: size[0] as usize,
        channels: size[1] as usize,
        height: size[2] as usize,
        width: size[3] as usize,
        kernel: w.size()[2] as usize,
        stride: stride as usize,
    };
    let [height, width] = g.output();
    let y = Tensor::empty([size[0], size[1], height as i64, width as i64], (Kind::Float, Device::Cpu));
    // SAFETY: all tensors are contiguous floats on the CPU, of the sizes that `g` has.
    unsafe { on_threads(|| depthwise::forward(&g, read(&plain), read(&w), b.as_ref().map(read), write(&y))) };
    if inputs.is_empty() {
        return y;
    }
    let saved = Saved::new(&[plain], &w, &wanted);
    with_backward(y, &inputs, move |grad| {
        let grad = grad.contiguous();
        let (x, w, wanted) = (&saved.xs[0], &saved.weight, &saved.wanted);
        let dx = wanted.xs[0].then(|| x.empty_like());
        let dw = w.empty_like();
        // SAFETY: as in the forward.
        let to = dx.as_ref().map_or(std::ptr::null_mut(), write);
        unsafe { on_threads(|| depthwise::backward(&g, read(x), read(w), read(&grad), to, write(&dw))) };
        let db = wanted.bias.then(|| grad.sum_dim_intlist([0i64, 2, 3].as_slice(), false, Kind::Float));
        dx.into_iter().chain(wanted.weight.then_some(dw)).chain(db).collect()
    })
}
