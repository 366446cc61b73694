//! Depthwise convolutions of 3x3 and 5x5 filters. libtorch's own gradient of a depthwise filter reads the whole map once per weight.

use tch::{Kind, Tensor};

use super::launch::{address, available, serve};
use super::source::{Pass, Window};
use super::{Argument, Entry, Grid, KernelError, Launcher, Scalar};
use crate::custom_op::with_backward;

/// As in the source.
const THREADS: u32 = 256;
/// As in the source: rows and columns of the output that a block owns.
const TILE: [i64; 2] = [32, 32];
/// Blocks of the filters' gradient, all channels together: enough to fill a card.
const FILTER_BLOCKS: i64 = 2048;
/// Blocks along y.
const MAX_BLOCKS: i64 = 65_535;

/// A convolution as the kernels take it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Shape {
    images: i32,
    channels: i32,
    height: i32,
    width: i32,
    out_height: i32,
    out_width: i32,
    padding: i32,
}

/// `x [N, C, H, W]` (float32, float16 or bfloat16, NCHW in memory) with one filter per channel, `weight [C, 1, K, K]`, K 3 or 5, stride
/// 1 or 2. The output has the kind of `x`; sums are taken in single precision, and so is the weights' gradient.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, stride: i64, padding: i64) -> Option<Tensor> {
    let (size, filter) = (x.size(), weight.size());
    if size.len() != 4 || filter.len() != 4 || filter[..2] != [size[1], 1] || filter[2] != filter[3] {
        return None;
    }
    let window = Window::of(filter[2], stride)?;
    let scalar = Scalar::of(x.kind())?;
    let device = x.device();
    if !available(device) || !x.is_contiguous() || weight.device() != device {
        return None;
    }
    let out = |side: i64| (side + 2 * padding - filter[2]) / stride + 1;
    let [n, c, h, w] = [size[0], size[1], size[2], size[3]];
    let (out_height, out_width) = (out(h), out(w));
    let small = h * w < i64::from(i32::MAX) && n * c < i64::from(i32::MAX) && tiles([out_height, out_width]) <= MAX_BLOCKS;
    if !small || n * c == 0 || out_height < 1 || out_width < 1 {
        return None;
    }
    let shape = Shape {
        images: n as i32,
        channels: c as i32,
        height: h as i32,
        width: w as i32,
        out_height: out_height as i32,
        out_width: out_width as i32,
        padding: padding as i32,
    };
    let single = |t: &Tensor| t.detach().to_kind(Kind::Float).contiguous();
    let call = Call { filters: single(weight), x: x.detach(), shape, window, scalar };
    let single_bias = bias.map(single);
    let y = Tensor::empty([n, c, out_height, out_width], (x.kind(), device));
    serve(device, |launcher| call.forward(launcher, &call.x, single_bias.as_ref(), shape, false, &y))?;

    let (wants_x, wants_weight, weight_kind) = (x.requires_grad(), weight.requires_grad(), weight.kind());
    let trained_bias = bias.filter(|bias| bias.requires_grad());
    let bias_kind = trained_bias.map(Tensor::kind);
    let inputs: Vec<&Tensor> = [x, weight].into_iter().chain(trained_bias).collect();
    Some(with_backward(y, &inputs, move |grad| {
        let grad = grad.to_kind(call.x.kind()).contiguous();
        let gradients = serve(device, |launcher| {
            let to_x = if wants_x { call.to_input(launcher, &grad)? } else { Tensor::new() };
            let to_weight = if wants_weight { call.to_filter(launcher, &grad)?.to_kind(weight_kind) } else { Tensor::new() };
            Ok(vec![to_x, to_weight])
        });
        let mut gradients = gradients.expect("the gradient of a convolution runs where the convolution ran");
        gradients.extend(bias_kind.map(|kind| grad.sum_dim_intlist([0, 2, 3].as_slice(), false, Kind::Float).to_kind(kind)));
        gradients
    }))
}

fn tiles(out: [i64; 2]) -> i64 {
    let across = |axis: usize| (out[axis] + TILE[axis] - 1) / TILE[axis];
    across(0) * across(1)
}

struct Call {
    x: Tensor,
    filters: Tensor,
    shape: Shape,
    window: Window,
    scalar: Scalar,
}

impl Call {
    fn planes(&self) -> u32 {
        (self.shape.images * self.shape.channels) as u32
    }

    /// `shape` is given anew, since the gradient of the input is a convolution too.
    fn forward(
        &self,
        launcher: &dyn Launcher,
        from: &Tensor,
        bias: Option<&Tensor>,
        shape: Shape,
        flip: bool,
        to: &Tensor,
    ) -> Result<(), KernelError> {
        let (from, filters, bias, to) = (address(from), address(&self.filters), bias.map_or(0, address), address(to));
        let flip = i32::from(flip);
        let arguments = [
            Argument::of(&from),
            Argument::of(&filters),
            Argument::of(&bias),
            Argument::of(&shape),
            Argument::of(&flip),
            Argument::of(&to),
        ];
        let tiles = tiles([i64::from(shape.out_height), i64::from(shape.out_width)]) as u32;
        let grid = Grid { blocks: [self.planes(), tiles, 1], threads: THREADS };
        // SAFETY: the parameters of `depthwise_forward`; the tensors have the sizes of `shape`.
        unsafe { launcher.launch(Entry::Depthwise(Pass::Forward, self.window), self.scalar, grid, &arguments) }
    }

    fn to_input(&self, launcher: &dyn Launcher, grad: &Tensor) -> Result<Tensor, KernelError> {
        let gradient = self.x.empty_like();
        let s = self.shape;
        if self.window.stride() == 1 {
            let padding = self.window.side() as i32 - 1 - s.padding;
            let turned =
                Shape { height: s.out_height, width: s.out_width, out_height: s.height, out_width: s.width, padding, ..s };
            self.forward(launcher, grad, None, turned, true, &gradient)?;
            return Ok(gradient);
        }
        let (incoming, filters, to) = (address(grad), address(&self.filters), address(&gradient));
        let arguments = [Argument::of(&incoming), Argument::of(&filters), Argument::of(&s), Argument::of(&to)];
        let blocks = ((s.height as u32 * s.width as u32).div_ceil(THREADS)).min(MAX_BLOCKS as u32);
        let grid = Grid { blocks: [self.planes(), blocks, 1], threads: THREADS };
        // SAFETY: the parameters of `depthwise_input`; the tensors have the sizes of the shape.
        unsafe { launcher.launch(Entry::Depthwise(Pass::Input, self.window), self.scalar, grid, &arguments)? };
        Ok(gradient)
    }

    fn to_filter(&self, launcher: &dyn Launcher, grad: &Tensor) -> Result<Tensor, KernelError> {
        let s = self.shape;
        let side = self.window.side();
        let work = i64::from(s.images) * tiles([i64::from(s.out_height), i64::from(s.out_width)]);
        let parts = (FILTER_BLOCKS / i64::from(s.channels)).clamp(1, work.min(MAX_BLOCKS));
        let partial = Tensor::empty([parts, i64::from(s.channels), 1, side, side], (Kind::Float, self.x.device()));
        let (x, incoming, to) = (address(&self.x), address(grad), address(&partial));
        let arguments = [Argument::of(&x), Argument::of(&incoming), Argument::of(&s), Argument::of(&to)];
        let grid = Grid { blocks: [s.channels as u32, parts as u32, 1], threads: THREADS };
        // SAFETY: the parameters of `depthwise_filter`; `partial` has a row per part.
        unsafe { launcher.launch(Entry::Depthwise(Pass::Filter, self.window), self.scalar, grid, &arguments)? };
        Ok(partial.sum_dim_intlist(0, false, Kind::Float))
    }
}
