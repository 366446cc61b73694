//! Batch norm (Ioffe and Szegedy, arXiv 1502.03167) of one map or as a sum over two, with the ReLU behind it, as one operation. libtorch's and
//! cuDNN's kernels give a channel to one block; with the 12 to 32 channels of a light network's first stages most of a card stands idle.

use tch::{Device, Kind, Tensor};

use super::launch::{address, available, serve};
use super::{Argument, Entry, Grid, KernelError, Launcher, Scalar};
use crate::cpu::Normed;
use crate::custom_op::with_backward;

/// As in the source.
const THREADS: u32 = 256;
/// As in the source.
const LANES: u32 = 32;
/// Blocks of a sum, all channels together: enough to fill a card.
const SUM_BLOCKS: i64 = 2048;
/// Packs of a plane that a thread handles one after the other.
const PACKS: u32 = 4;
/// Values of a pack, loaded at once where planes allow it.
const WIDE: i64 = 4;
/// Blocks along y.
const MAX_BLOCKS: u32 = 65_535;

/// As in the source.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct Shape {
    images: i32,
    channels: i32,
    area: i32,
}

/// As in the source: addresses.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    x: u64,
    mean: u64,
    inverse: u64,
    weight: u64,
    bias: u64,
}

/// Where the statistics come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// From this batch; the running ones are updated.
    Batch,
    /// The running ones, as constants.
    Running,
}

/// The sum of normalised maps `[N, C, H, W]` (float32, float16 or bfloat16, one kind, NCHW in memory), and a ReLU behind it where `relu`. The
/// result has the kind of the maps; statistics and sums are in single precision or better. `None` leaves it to libtorch: other devices and
/// layouts, more than two maps, a single value per channel. Part of autograd's graph like any operation.
pub fn sum(parts: &[Normed], statistics: Statistics, relu: bool) -> Option<Tensor> {
    let first = parts.first()?.x;
    let device = first.device();
    if !available(device) {
        return None;
    }
    let size = first.size();
    let scalar = Scalar::of(first.kind())?;
    let constant = |t: &Tensor| t.kind() == Kind::Float && t.device() == device && t.is_contiguous() && t.size() == size[1..2];
    let fits = |p: &Normed| {
        p.x.size() == size
            && (p.x.kind(), p.x.device()) == (first.kind(), device)
            && p.x.is_contiguous()
            && [p.weight, p.bias, p.running[0], p.running[1]].into_iter().all(constant)
    };
    if size.len() != 4 || parts.len() > 2 || !parts.iter().all(fits) {
        return None;
    }
    let (values, area) = (size[0] * size[2] * size[3], size[2] * size[3]);
    let small = values < i64::from(i32::MAX) && size[0] * size[1] < i64::from(i32::MAX);
    if !small || size[1] == 0 || values < if statistics == Statistics::Batch { 2 } else { 1 } {
        return None;
    }
    let shape = Shape { images: size[0] as i32, channels: size[1] as i32, area: area as i32 };
    let aligned = parts.iter().all(|p| address(p.x).is_multiple_of(16));
    let held: Vec<Held> = parts.iter().map(|p| Held::of(p, device)).collect();
    let call = Call { held, shape, scalar, wide: aligned && area % WIDE == 0, relu, statistics };
    let y = Tensor::empty(&size, (first.kind(), device));
    serve(device, |launcher| {
        for (part, held) in parts.iter().zip(&call.held) {
            call.statistics(launcher, part, held)?;
        }
        call.apply(launcher, &y)
    })?;
    let wanted: Vec<[bool; 3]> = parts.iter().map(|p| [p.x, p.weight, p.bias].map(Tensor::requires_grad)).collect();
    let tensors = parts.iter().flat_map(|p| [p.x, p.weight, p.bias]);
    let inputs: Vec<&Tensor> = tensors.zip(wanted.as_flattened()).filter(|(_, wanted)| **wanted).map(|(t, _)| t).collect();
    if inputs.is_empty() {
        return Some(y);
    }
    Some(with_backward(y, &inputs, move |grad| {
        let gradients = serve(device, |launcher| call.backward(launcher, grad, &wanted));
        gradients.expect("the gradient of a batch norm runs where the batch norm ran")
    }))
}

/// A map and what it is normalised by.
struct Held {
    x: Tensor,
    mean: Tensor,
    inverse: Tensor,
    weight: Tensor,
    bias: Tensor,
}

impl Held {
    fn of(part: &Normed, device: Device) -> Self {
        let empty = || Tensor::empty([part.x.size()[1]], (Kind::Float, device));
        let [x, weight, bias] = [part.x, part.weight, part.bias].map(Tensor::detach);
        Self { x, mean: empty(), inverse: empty(), weight, bias }
    }

    fn part(&self) -> Part {
        let [x, mean, inverse, weight, bias] = [&self.x, &self.mean, &self.inverse, &self.weight, &self.bias].map(address);
        Part { x, mean, inverse, weight, bias }
    }
}

struct Call {
    held: Vec<Held>,
    shape: Shape,
    scalar: Scalar,
    wide: bool,
    relu: bool,
    statistics: Statistics,
}

impl Call {
    fn pack(&self) -> i64 {
        if self.wide {
            WIDE
        } else {
            1
        }
    }

    fn values(&self) -> i64 {
        i64::from(self.shape.images) * i64::from(self.shape.area)
    }

    /// For sums over a channel: (channels, parts).
    fn channels(&self) -> Grid {
        let packs = self.values() / self.pack();
        let most = (packs / i64::from(THREADS * PACKS)).clamp(1, i64::from(MAX_BLOCKS));
        let parts = (SUM_BLOCKS / i64::from(self.shape.channels)).clamp(1, most);
        Grid { blocks: [self.shape.channels as u32, parts as u32, 1], threads: THREADS }
    }

    /// For maps: (planes, blocks of a plane).
    fn planes(&self) -> Grid {
        let packs = (i64::from(self.shape.area) / self.pack()) as u32;
        let blocks = packs.div_ceil(THREADS * PACKS).clamp(1, MAX_BLOCKS);
        Grid { blocks: [(self.shape.images * self.shape.channels) as u32, blocks, 1], threads: THREADS }
    }

    fn statistics(&self, launcher: &dyn Launcher, part: &Normed, held: &Held) -> Result<(), KernelError> {
        let (grid, wide) = (self.channels(), i32::from(self.wide));
        let mut parts = 0i32;
        let mut partial = Tensor::new();
        if self.statistics == Statistics::Batch {
            parts = grid.blocks[1] as i32;
            partial = Tensor::empty([i64::from(parts), i64::from(self.shape.channels), 3], (Kind::Float, held.x.device()));
            let (x, to) = (address(&held.x), address(&partial));
            let arguments = [Argument::of(&x), Argument::of(&self.shape), Argument::of(&wide), Argument::of(&to)];
            // SAFETY: the parameters of the kernel; `partial` has a row per part.
            unsafe { launcher.launch(Entry::BatchNormMoments, self.scalar, grid, &arguments)? };
        }
        let from = if parts > 0 { address(&partial) } else { 0 };
        let [running_mean, running_var, mean, inverse] =
            [part.running[0], part.running[1], &held.mean, &held.inverse].map(address);
        let (eps, momentum) = (part.eps as f32, part.momentum as f32);
        let arguments = [
            Argument::of(&from),
            Argument::of(&parts),
            Argument::of(&self.shape.channels),
            Argument::of(&eps),
            Argument::of(&momentum),
            Argument::of(&running_mean),
            Argument::of(&running_var),
            Argument::of(&mean),
            Argument::of(&inverse),
        ];
        let grid = Grid { blocks: [self.shape.channels as u32, 1, 1], threads: LANES };
        // SAFETY: the parameters of the kernel; all of these have a value per channel.
        unsafe { launcher.launch(Entry::BatchNormStatistics, self.scalar, grid, &arguments) }
    }

    /// Queues a kernel whose parameters begin with the parts, the shape, and whether to load widely and to apply the ReLU.
    ///
    /// # Safety
    /// As [`Launcher::launch`], for the arguments behind these.
    unsafe fn launch(&self, launcher: &dyn Launcher, entry: Entry, grid: Grid, more: &[Argument]) -> Result<(), KernelError> {
        let parts = [self.held[0].part(), self.held.get(1).map_or_else(Part::default, Held::part)];
        let (wide, relu) = (i32::from(self.wide), i32::from(self.relu));
        let first = [Argument::of(&parts), Argument::of(&self.shape), Argument::of(&wide), Argument::of(&relu)];
        // SAFETY: the caller's, and the first four are those of `batch_norm_apply`, `batch_norm_reduce` and `batch_norm_backward`.
        unsafe { launcher.launch(entry, self.scalar, grid, &[&first, more].concat()) }
    }

    fn apply(&self, launcher: &dyn Launcher, y: &Tensor) -> Result<(), KernelError> {
        let to = address(y);
        // SAFETY: the parameters of the kernel; all maps have the shape.
        unsafe { self.launch(launcher, Entry::BatchNormApply, self.planes(), &[Argument::of(&to)]) }
    }

    /// Gradients of the inputs that want one: map, weight and bias of each part.
    fn backward(&self, launcher: &dyn Launcher, grad: &Tensor, wanted: &[[bool; 3]]) -> Result<Vec<Tensor>, KernelError> {
        let mut grad = grad.to_kind(self.held[0].x.kind()).contiguous();
        if self.wide && !address(&grad).is_multiple_of(16) {
            grad = grad.copy();
        }
        let incoming = address(&grad);
        let grid = self.channels();
        let channels = i64::from(self.shape.channels);
        let partial = Tensor::empty([i64::from(grid.blocks[1]), 3, channels], (Kind::Float, grad.device()));
        let to = address(&partial);
        let arguments = [Argument::of(&incoming), Argument::of(&to)];
        // SAFETY: the parameters of the kernel; `partial` has a row per part.
        unsafe { self.launch(launcher, Entry::BatchNormReduce, grid, &arguments)? };
        let sums = partial.sum_dim_intlist(0, false, Kind::Float);
        let gradient = |k: usize| wanted.get(k).is_some_and(|w| w[0]).then(|| self.held[k].x.empty_like());
        let maps = [gradient(0), gradient(1)];
        if maps.iter().any(Option::is_some) {
            let share = if self.statistics == Statistics::Batch { 1.0 / self.values() as f32 } else { 0.0 };
            let (from, [to_a, to_b]) = (address(&sums), maps.each_ref().map(|m| m.as_ref().map_or(0, address)));
            let arguments =
                [Argument::of(&incoming), Argument::of(&from), Argument::of(&share), Argument::of(&to_a), Argument::of(&to_b)];
            // SAFETY: the parameters of the kernel; all maps have the shape.
            unsafe { self.launch(launcher, Entry::BatchNormBackward, self.planes(), &arguments)? };
        }
        let mut gradients = vec![];
        for (k, (map, wanted)) in maps.into_iter().zip(wanted).enumerate() {
            gradients.extend(map);
            gradients.extend(wanted[1].then(|| sums.get(1 + k as i64)));
            // A copy: two biases must not share the memory of their gradients, which are scaled in place.
            gradients.extend(wanted[2].then(|| sums.get(0).copy()));
        }
        Ok(gradients)
    }
}
