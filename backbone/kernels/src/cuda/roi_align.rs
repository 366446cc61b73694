//! RoIAlign from all levels of a pyramid in one launch. The gradient is gathered, so that the same inputs give the same bits.

use tch::{Kind, Tensor};

use super::launch::{address, available, serve, upload};
use super::layout::is_channels_last;
use super::{Argument, Entry, Grid, KernelError, Launcher, Scalar};
use crate::custom_op::with_backward;

/// As in the source.
const MAX_LEVELS: usize = 8;
/// As in the source.
const MAX_BINS: usize = 32;
/// As in the source: a tile of a map that a block of the gradient owns, and its channels.
const TILE: [i64; 2] = [8, 32];
/// As in the source.
const CHANNELS: i64 = 16;
/// Threads of a forward block.
const THREADS: u32 = 256;
/// Channels of a forward block.
const CHANNELS_PER_BLOCK: i32 = 64;
/// 32-bit words of a region on the card.
const REGION_WORDS: usize = 6;

/// A region of interest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Which of the maps it is taken from.
    pub level: usize,
    /// Index in the batch.
    pub image: usize,
    /// Corners x1, y1, x2, y2 in image pixels.
    pub bbox: [f32; 4],
}

/// How a region is sampled.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// Bins per side.
    pub bins: i32,
    /// Samples per bin and axis; 0 takes as many as a bin has pixels.
    pub ratio: i32,
    /// 1 shifts by half a pixel.
    pub aligned: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Map {
    data: u64,
    image_stride: i64,
    channel_stride: i64,
    row_stride: i64,
    column_stride: i64,
    height: i32,
    width: i32,
    scale: f32,
    unused: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Maps {
    level: [Map; MAX_LEVELS],
    levels: i32,
    images: i32,
    channels: i32,
    channels_last: i32,
}

impl Maps {
    /// # Panics
    /// When a map doesn't have four dimensions.
    fn new(maps: &[Tensor], scales: &[f32]) -> Self {
        let first = maps[0].size();
        // With channels last, the channels of a pixel are neighbours.
        let channels_last = maps.iter().all(|map| first[1] > 1 && map.stride()[1] == 1);
        let mut level = [Map::default(); MAX_LEVELS];
        for ((place, map), scale) in level.iter_mut().zip(maps).zip(scales) {
            let (size, stride) = (map.size(), map.stride());
            *place = Map {
                data: address(map),
                image_stride: stride[0],
                channel_stride: stride[1],
                row_stride: stride[2],
                column_stride: stride[3],
                height: size[2] as i32,
                width: size[3] as i32,
                scale: *scale,
                unused: 0,
            };
        }
        let (levels, images, channels) = (maps.len() as i32, first[0] as i32, first[1] as i32);
        Self { level, levels, images, channels, channels_last: i32::from(channels_last) }
    }
}

/// The regions on the card: themselves, their order by level and image, and where each level and image starts in it.
struct Uploaded {
    words: Tensor,
    regions: usize,
}

impl Uploaded {
    fn new(regions: &[Region], levels: usize, images: usize, device: tch::Device) -> Self {
        let group = |region: &Region| region.level * images + region.image;
        let mut order: Vec<i32> = (0..regions.len() as i32).collect();
        // Stable: within a group the order of the regions stays, and with it the order of every sum.
        order.sort_by_key(|position| group(&regions[*position as usize]));
        let mut starts = vec![0i32; levels * images + 1];
        regions.iter().for_each(|region| starts[group(region) + 1] += 1);
        (1..starts.len()).for_each(|i| starts[i] += starts[i - 1]);
        let mut words = Vec::with_capacity(regions.len() * (REGION_WORDS + 1) + starts.len());
        for region in regions {
            words.extend(region.bbox.map(|v| v.to_bits() as i32));
            words.extend([region.level as i32, region.image as i32]);
        }
        words.extend(order);
        words.extend(starts);
        Self { words: upload(&words, device), regions: regions.len() }
    }

    /// Addresses of the regions, their order, and the starts.
    fn addresses(&self) -> [u64; 3] {
        let base = address(&self.words);
        let word = |at: usize| base + (at * size_of::<i32>()) as u64;
        [base, word(self.regions * REGION_WORDS), word(self.regions * (REGION_WORDS + 1))]
    }
}

/// Pools `regions` from `maps` (`[N, C, H, W]` each, with `scales` feature pixels per image pixel): `[regions, C, bins, bins]` of the
/// maps' kind. Gradients flow to the maps. Sums are taken in single precision.
///
/// # Panics
/// When a region names a level or image that isn't there.
pub fn pool(maps: &[&Tensor], scales: &[f32], regions: &[Region], sampling: Sampling) -> Option<Tensor> {
    let first = *maps.first()?;
    let (device, kind) = (first.device(), first.kind());
    let alike =
        |map: &&Tensor| map.dim() == 4 && map.kind() == kind && map.device() == device && map.size()[..2] == first.size()[..2];
    let fits =
        maps.len() <= MAX_LEVELS && maps.len() == scales.len() && maps.iter().all(alike) && sampling.bins as usize <= MAX_BINS;
    let scalar = Scalar::of(kind)?;
    if !fits || !available(device) {
        return None;
    }
    let size = first.size();
    let (images, channels) = (size[0], size[1]);
    let known = |region: &Region| region.level < maps.len() && region.image < images as usize;
    assert!(regions.iter().all(known), "a region of a level or image that isn't there");
    let held: Vec<Tensor> = maps.iter().map(|map| dense(&map.detach())).collect();
    let uploaded = Uploaded::new(regions, maps.len(), images as usize, device);
    let side = i64::from(sampling.bins);
    let out = Tensor::empty([regions.len() as i64, channels, side, side], (kind, device));
    serve(device, |launcher| forward(launcher, scalar, &held, scales, &uploaded, sampling, &out))?;

    let scales = scales.to_vec();
    // The gradient has the layout of its map, whose values it doesn't need.
    let layouts: Vec<(Vec<i64>, bool)> = held.iter().map(|map| (map.size(), is_channels_last(map))).collect();
    drop(held);
    Some(with_backward(out, maps, move |grad| {
        let grad = grad.to_kind(kind).contiguous();
        let gradients: Vec<Tensor> = layouts.iter().map(|(size, last)| empty(size, *last, kind, device)).collect();
        serve(device, |launcher| backward(launcher, scalar, &gradients, &scales, &uploaded, sampling, &grad))
            .expect("the gradient of RoIAlign runs where RoIAlign ran");
        gradients
    }))
}

fn forward(
    launcher: &dyn Launcher,
    scalar: Scalar,
    maps: &[Tensor],
    scales: &[f32],
    uploaded: &Uploaded,
    sampling: Sampling,
    out: &Tensor,
) -> Result<(), KernelError> {
    let table = Maps::new(maps, scales);
    if out.numel() == 0 {
        return Ok(());
    }
    let [rois, ..] = uploaded.addresses();
    let out = address(out);
    let blocks = [uploaded.regions as u32, (table.channels as u32).div_ceil(CHANNELS_PER_BLOCK as u32), 1];
    let arguments = [
        Argument::of(&table),
        Argument::of(&rois),
        Argument::of(&sampling),
        Argument::of(&CHANNELS_PER_BLOCK),
        Argument::of(&out),
    ];
    // SAFETY: the parameters of `roi_align_forward`; the maps, regions and `out` have the sizes that the table gives.
    unsafe { launcher.launch(Entry::RoiAlignForward, scalar, Grid { blocks, threads: THREADS }, &arguments) }
}

fn backward(
    launcher: &dyn Launcher,
    scalar: Scalar,
    gradients: &[Tensor],
    scales: &[f32],
    uploaded: &Uploaded,
    sampling: Sampling,
    grad: &Tensor,
) -> Result<(), KernelError> {
    let table = Maps::new(gradients, scales);
    let mut tiles = [0i32; MAX_LEVELS + 1];
    for (i, map) in gradients.iter().enumerate() {
        let size = map.size();
        let across = |axis: usize| (size[2 + axis] + TILE[axis] - 1) / TILE[axis];
        tiles[i + 1] = tiles[i] + (across(0) * across(1)) as i32;
    }
    let total = tiles[gradients.len()] as u32;
    if total == 0 || table.images == 0 || table.channels == 0 {
        return Ok(());
    }
    let [rois, order, starts] = uploaded.addresses();
    let grad = address(grad);
    let blocks = [total, table.images as u32, (table.channels as u32).div_ceil(CHANNELS as u32)];
    let arguments = [
        Argument::of(&table),
        Argument::of(&tiles),
        Argument::of(&rois),
        Argument::of(&order),
        Argument::of(&starts),
        Argument::of(&sampling),
        Argument::of(&grad),
    ];
    let threads = (TILE[0] * TILE[1]) as u32;
    // SAFETY: the parameters of `roi_align_backward`; the tensors have the sizes that the table gives.
    unsafe { launcher.launch(Entry::RoiAlignBackward, scalar, Grid { blocks, threads }, &arguments) }
}

/// The map itself where its elements lie close together in one of the two usual orders, else a copy.
fn dense(map: &Tensor) -> Tensor {
    if map.is_contiguous() || is_channels_last(map) {
        map.shallow_clone()
    } else {
        map.contiguous()
    }
}

fn empty(size: &[i64], channels_last: bool, kind: Kind, device: tch::Device) -> Tensor {
    if channels_last {
        Tensor::empty([size[0], size[2], size[3], size[1]], (kind, device)).permute([0, 3, 1, 2])
    } else {
        Tensor::empty(size, (kind, device))
    }
}
