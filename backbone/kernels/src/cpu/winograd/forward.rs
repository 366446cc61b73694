//! A convolution of maps with transformed filters; with turned filters, the gradient of its input.
//!
//! A thread takes some 48 tiles through all three stages on its own, so that threads never wait for each other and everything between the
//! stages stays in the cache.

use std::ops::Range;

use super::filter::FilterLayout;
use super::product::{over_channels, PANEL, ROWS};
use super::scheme::{Scheme, MAX_A};
use super::tiles::{read_patch, tiles, Maps, Tile};
use crate::cpu::simd::{self, Kernel, Simd, LANES};
use crate::cpu::threads::{self, for_each};
use crate::cpu::workspace::{with_mine, Address};

/// Tiles per thread at a time, a multiple of [`ROWS`].
const CHUNK: usize = 48;
/// Panels of results per pass, so that what lies between products and outputs stays in the cache.
const RESULT_PANELS: usize = 8;
/// Panels of summed channels per pass where there are more than twice as many; all results are kept meanwhile.
const SUMMED_PANELS: usize = 16;

/// Transformed inputs or outputs of a chunk: `[frequency][panel][tile][16]`.
#[derive(Clone, Copy)]
pub(crate) struct ChunkLayout {
    /// Tiles, a multiple of [`ROWS`].
    pub tiles: usize,
    /// Panels of channels.
    pub panels: usize,
    /// Floats between frequencies: see [`FilterLayout`].
    pub stride: usize,
}

impl ChunkLayout {
    pub fn new(tiles: usize, channels: usize) -> Self {
        let (tiles, panels) = (tiles.next_multiple_of(ROWS), channels.div_ceil(PANEL));
        Self { tiles, panels, stride: tiles * panels * PANEL + 3 * PANEL }
    }

    pub fn len<F: Scheme>(&self) -> usize {
        self.stride * F::A * F::A
    }

    /// Offset of eight channels of a tile, in the first frequency.
    pub fn at(&self, tile: usize, octet: usize) -> usize {
        ((octet / 2) * self.tiles + tile) * PANEL + (octet % 2) * LANES
    }
}

/// `Bt d B` of some tiles.
pub(crate) struct TransformInput<'a, F> {
    pub inputs: &'a [*const f32],
    pub maps: &'a [Maps],
    pub channels: usize,
    /// The first channel to transform; the layout has their number.
    pub first_channel: usize,
    pub tiles: &'a [Tile],
    /// Position of the first tile in the chunk.
    pub first: usize,
    pub to: *mut f32,
    pub layout: ChunkLayout,
    pub _scheme: F,
}

impl<F: Scheme> Kernel for TransformInput<'_, F> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { inputs, maps, channels, first_channel, tiles, first, to, layout, .. } = self;
        unsafe {
            for (t, tile) in tiles.iter().enumerate() {
                let map = &maps[tile.maps as usize];
                let planes = inputs[tile.maps as usize].add(tile.image as usize * channels * map.area());
                let corner = (tile.y as isize - 1, tile.x as isize - 1);
                for octet in 0..layout.panels * PANEL / LANES {
                    let d = read_patch::<S, MAX_A>(planes, map, channels, first_channel + octet * LANES, corner, (F::A, LANES));
                    let mut rows = [[S::splat(0.0); MAX_A]; MAX_A];
                    for s in 0..F::A {
                        let v = F::input::<S>(std::array::from_fn(|r| d[r][s]));
                        for r in 0..F::A {
                            rows[r][s] = v[r];
                        }
                    }
                    let to = to.add(layout.at(first + t, octet));
                    for (r, row) in rows.iter().enumerate().take(F::A) {
                        let v = F::input::<S>(*row);
                        for (s, v) in v.iter().enumerate().take(F::A) {
                            S::store(to.add((r * F::A + s) * layout.stride), *v);
                        }
                    }
                }
            }
        }
    }
}

/// The products of a chunk.
struct Products<F> {
    from: *const f32,
    input: ChunkLayout,
    filter: *const f32,
    filters: FilterLayout,
    /// Position of the input's first panel among all summed ones; past the first, products add to what is there.
    summed: usize,
    /// Panels of results.
    results: Range<usize>,
    to: *mut f32,
    output: ChunkLayout,
    /// Tiles that are there, rounded up to [`ROWS`].
    tiles: usize,
    _scheme: F,
}

impl<F: Scheme> Kernel for Products<F> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { from, input, filter, filters, summed, results, to, output, tiles, .. } = self;
        let groups = tiles / ROWS;
        let size = filters.panels * PANEL * PANEL;
        // Each group asks for its share of the next panel of filters, two lines per panel of channels.
        let share = 2 * PANEL * input.panels;
        unsafe {
            let filter = filter.add(summed * PANEL * PANEL);
            for f in 0..F::A * F::A {
                for k in results.clone() {
                    let b = filter.add(f * filters.stride + k * size);
                    let next = if k + 1 < results.end {
                        b.wrapping_add(size)
                    } else {
                        filter.wrapping_add((f + 1) * filters.stride + results.start * size)
                    };
                    for g in 0..groups {
                        over_channels::<S>(
                            from.add(f * input.stride + g * ROWS * PANEL),
                            input.tiles * PANEL,
                            b,
                            input.panels,
                            to.add(f * output.stride + ((k - results.start) * output.tiles + g * ROWS) * PANEL),
                            summed > 0,
                            next.wrapping_add(g * share),
                        );
                    }
                }
            }
        }
    }
}

/// `At m A` of some tiles, plus the bias.
struct TransformOutput<'a, F> {
    from: *const f32,
    layout: ChunkLayout,
    tiles: &'a [Tile],
    bias: Option<*const f32>,
    maps: &'a [Maps],
    outputs: &'a [*mut f32],
    /// Of the maps.
    channels: usize,
    /// Those that are here.
    range: Range<usize>,
    _scheme: F,
}

#[expect(clippy::needless_range_loop, reason = "positions in rows and columns of a tile")]
impl<F: Scheme> Kernel for TransformOutput<'_, F> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { from, layout, tiles, bias, maps, outputs, channels, range, .. } = self;
        unsafe {
            for (t, tile) in tiles.iter().enumerate() {
                let map = &maps[tile.maps as usize];
                let (height, width) = (F::M.min(map.height - tile.y as usize), F::M.min(map.width - tile.x as usize));
                let plane = tile.image as usize * channels + range.start;
                let planes = outputs[tile.maps as usize].add(plane * map.area() + tile.y as usize * map.width + tile.x as usize);
                for octet in 0..range.len().div_ceil(LANES) {
                    let lanes = LANES.min(range.len() - octet * LANES);
                    let from = from.add(layout.at(t, octet));
                    let mut columns = [[S::splat(0.0); MAX_A]; 4];
                    for r in 0..F::A {
                        let mut row = [S::splat(0.0); MAX_A];
                        for (s, v) in row.iter_mut().enumerate().take(F::A) {
                            *v = S::load(from.add((r * F::A + s) * layout.stride));
                        }
                        for (s, v) in F::output::<S>(row).into_iter().enumerate() {
                            columns[s][r] = v;
                        }
                    }
                    let bias = match bias {
                        Some(p) => S::load_part(p.add(range.start + octet * LANES), 0, lanes),
                        None => S::splat(0.0),
                    };
                    // pixels[row][column], a vector of eight channels each.
                    let mut pixels = [[bias; 4]; 4];
                    for (s, column) in columns.iter().enumerate() {
                        for (r, v) in F::output::<S>(*column).into_iter().enumerate() {
                            pixels[r][s] = S::add(v, bias);
                        }
                    }
                    for r in (0..height).step_by(2) {
                        let [a, b] = [pixels[r], pixels[r + 1]];
                        let turned = S::transpose([a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]]);
                        for (c, v) in turned.into_iter().enumerate().take(lanes) {
                            let at = planes.add((octet * LANES + c) * map.area() + r * map.width);
                            if width == 4 && r + 1 < height {
                                S::store_halves(at, at.add(map.width), v);
                                continue;
                            }
                            let mut values = [0f32; LANES];
                            S::store(values.as_mut_ptr(), v);
                            for r in 0..2.min(height - r) {
                                std::ptr::copy_nonoverlapping(values.as_ptr().add(4 * r), at.add(r * map.width), width);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Convolves all maps with the same transformed filters.
///
/// # Safety
/// `inputs[i]` points to `[images, summed, height, width]` floats of `maps[i]`, `outputs[i]` to `[images, results, ...]`, `bias` to `results`;
/// `filter` has the layout's size.
pub(crate) unsafe fn convolve<F: Scheme>(
    scheme: F,
    maps: &[Maps],
    inputs: &[*const f32],
    outputs: &[*mut f32],
    [summed, results]: [usize; 2],
    (filter, filters): (*const f32, FilterLayout),
    bias: Option<*const f32>,
) {
    let all = tiles(maps, F::M);
    let inputs: Vec<Address<f32>> = inputs.iter().map(|p| Address(p.cast_mut())).collect();
    let outputs: Vec<Address<f32>> = outputs.iter().map(|p| Address(*p)).collect();
    let (filter, bias) = (Address(filter.cast_mut()), bias.map(|b| Address(b.cast_mut())));
    // As many chunks of equal size as keep all threads busy.
    let work = all.len() * summed * results * F::A * F::A;
    let threads = threads::threads(work);
    let chunks = all.len().div_ceil(CHUNK).next_multiple_of(threads);
    let chunk = all.len().div_ceil(chunks).next_multiple_of(ROWS).min(CHUNK);
    // Either the results are taken a few panels at a time, or the channels that are summed.
    let is_deep = filters.panels > 2 * SUMMED_PANELS;
    let summed_panels = if is_deep { SUMMED_PANELS } else { filters.panels };
    let result_panels = if is_deep { filters.results } else { filters.results.min(RESULT_PANELS) };
    let input = ChunkLayout::new(chunk, summed_panels * PANEL);
    let output = ChunkLayout::new(chunk, result_panels * PANEL);
    for_each(all.len().div_ceil(chunk), work, |i| {
        let tiles = &all[i * chunk..all.len().min((i + 1) * chunk)];
        let inputs: Vec<*const f32> = inputs.iter().map(|p| p.get().cast_const()).collect();
        let outputs: Vec<*mut f32> = outputs.iter().map(|p| p.get()).collect();
        let length = input.len::<F>();
        with_mine(length + output.len::<F>(), |buffer| unsafe {
            let (from, to) = (buffer, buffer.add(length));
            let products = |summed, input, panels| {
                simd::run(Products {
                    from,
                    input,
                    filter: filter.get(),
                    filters,
                    summed,
                    results: panels,
                    to,
                    output,
                    tiles: tiles.len().next_multiple_of(ROWS),
                    _scheme: scheme,
                });
            };
            for first in (0..filters.panels).step_by(summed_panels) {
                // The last pass may have fewer panels.
                let layout = ChunkLayout { panels: summed_panels.min(filters.panels - first), ..input };
                simd::run(TransformInput {
                    inputs: &inputs,
                    maps,
                    channels: summed,
                    first_channel: first * PANEL,
                    tiles,
                    first: 0,
                    to: from,
                    layout,
                    _scheme: scheme,
                });
                if is_deep {
                    products(first, layout, 0..filters.results);
                }
            }
            for first in (0..filters.results).step_by(result_panels) {
                let last = filters.results.min(first + result_panels);
                if !is_deep {
                    products(0, input, first..last);
                }
                simd::run(TransformOutput {
                    from: to,
                    layout: output,
                    tiles,
                    bias: bias.map(|b| b.get().cast_const()),
                    maps,
                    outputs: &outputs,
                    channels: results,
                    range: first * PANEL..results.min(last * PANEL),
                    _scheme: scheme,
                });
            }
        });
    });
}
