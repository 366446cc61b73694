//! The gradient of the filters: products over tiles in the transformed domain, one inverse at the end.
//!
//! All threads transform some 240 tiles together, then share the products by frequency; each sum belongs to one thread, so the result does
//! not depend on their number.

use super::filter::{transform_back, FilterLayout};
use super::forward::{ChunkLayout, TransformInput};
use super::product::{over_tiles, PANEL};
use super::scheme::{Scheme, MAX_A};
use super::tiles::{read_patch, tiles, Maps, Tile};
use crate::cpu::simd::{self, Kernel, Simd, LANES};
use crate::cpu::threads::for_each;
use crate::cpu::workspace::{with_shared, Address};

/// Tiles at a time.
const CHUNK: usize = 240;
/// Tiles per piece of work of the transforms.
const PIECE: usize = 12;
/// Panels of outputs per pass.
const OUTPUT_PANELS: usize = 16;
/// Channels, inputs and outputs of a pass together, up to which a chunk is whole; more of them take smaller chunks, so that memory stays
/// bounded.
const WHOLE_CHANNELS: usize = 2 * OUTPUT_PANELS * PANEL;

/// `A y At` of some tiles.
struct TransformGrad<'a, F> {
    grads: &'a [*const f32],
    maps: &'a [Maps],
    channels: usize,
    /// The first channel to transform; the layout has their number.
    first_channel: usize,
    tiles: &'a [Tile],
    first: usize,
    to: *mut f32,
    layout: ChunkLayout,
    _scheme: F,
}

impl<F: Scheme> Kernel for TransformGrad<'_, F> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { grads, maps, channels, first_channel, tiles, first, to, layout, .. } = self;
        unsafe {
            for (t, tile) in tiles.iter().enumerate() {
                let map = &maps[tile.maps as usize];
                let planes = grads[tile.maps as usize].add(tile.image as usize * channels * map.area());
                let corner = (tile.y as isize, tile.x as isize);
                for octet in 0..layout.panels * PANEL / LANES {
                    let y = read_patch::<S, 4>(planes, map, channels, first_channel + octet * LANES, corner, (F::M, F::M));
                    let zero = S::splat(0.0);
                    let mut rows = [[zero; 4]; MAX_A];
                    for s in 0..F::M {
                        let v = F::grad_output::<S>(std::array::from_fn(|r| y[r][s]));
                        for r in 0..F::A {
                            rows[r][s] = v[r];
                        }
                    }
                    let to = to.add(layout.at(first + t, octet));
                    for (r, row) in rows.iter().enumerate().take(F::A) {
                        let v = F::grad_output::<S>(*row);
                        for (s, v) in v.iter().enumerate().take(F::A) {
                            S::store(to.add((r * F::A + s) * layout.stride), *v);
                        }
                    }
                }
            }
        }
    }
}

/// The products of one frequency and one panel of outputs.
struct Products {
    input: *const f32,
    inputs: ChunkLayout,
    grad: *const f32,
    tiles: usize,
    sums: *mut f32,
    /// To what is there, of earlier tiles.
    add: bool,
}

impl Kernel for Products {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Self { input, inputs, grad, tiles, sums, add } = self;
        unsafe {
            for c in 0..inputs.panels {
                let (a, out) = (input.add(c * inputs.tiles * PANEL), sums.add(c * PANEL * PANEL));
                over_tiles::<S, 6>(a, grad, tiles, out, add);
                over_tiles::<S, 6>(a.add(6), grad, tiles, out.add(6 * PANEL), add);
                over_tiles::<S, 4>(a.add(12), grad, tiles, out.add(12 * PANEL), add);
            }
        }
    }
}

/// Writes the gradient of filters `[outputs, inputs, 3, 3]`.
///
/// # Safety
/// `xs[i]` points to `[images, inputs, height, width]` floats of `maps[i]`, `grads[i]` to `[images, outputs, ...]`, `grad` to the filters'.
pub(crate) unsafe fn weight_gradient<F: Scheme>(
    scheme: F,
    maps: &[Maps],
    xs: &[*const f32],
    grads: &[*const f32],
    [outputs, inputs]: [usize; 2],
    grad: *mut f32,
) {
    let all = tiles(maps, F::M);
    let layout = FilterLayout::new(inputs, outputs);
    let pass = layout.results.min(OUTPUT_PANELS);
    let chunk = (CHUNK * WHOLE_CHANNELS / (inputs + pass * PANEL).max(WHOLE_CHANNELS))
        .max(PIECE)
        .next_multiple_of(PIECE)
        .min(all.len().next_multiple_of(PIECE));
    let (input, output) = (ChunkLayout::new(chunk, inputs), ChunkLayout::new(chunk, pass * PANEL));
    let xs: Vec<Address<f32>> = xs.iter().map(|p| Address(p.cast_mut())).collect();
    let grads: Vec<Address<f32>> = grads.iter().map(|p| Address(p.cast_mut())).collect();
    let lengths = [layout.len::<F>(), input.len::<F>(), output.len::<F>()];
    with_shared(lengths.iter().sum(), |sums| unsafe {
        let (from, out) = (Address(sums.add(lengths[0])), Address(sums.add(lengths[0] + lengths[1])));
        let sums = Address(sums);
        for (number, tiles) in all.chunks(chunk).enumerate() {
            for first_panel in (0..layout.results).step_by(pass) {
                let panels = pass.min(layout.results - first_panel);
                let channels = if first_panel == 0 { inputs } else { 0 } + panels * PANEL;
                for_each(tiles.len().div_ceil(PIECE), tiles.len() * channels * F::A * F::A * F::A, |piece| {
                    let first = piece * PIECE;
                    let tiles = &tiles[first..tiles.len().min(first + PIECE)];
                    if first_panel == 0 {
                        let xs: Vec<*const f32> = xs.iter().map(|p| p.get().cast_const()).collect();
                        simd::run(TransformInput {
                            inputs: &xs,
                            maps,
                            channels: inputs,
                            first_channel: 0,
                            tiles,
                            first,
                            to: from.get(),
                            layout: input,
                            _scheme: scheme,
                        });
                    }
                    let grads: Vec<*const f32> = grads.iter().map(|p| p.get().cast_const()).collect();
                    simd::run(TransformGrad {
                        grads: &grads,
                        maps,
                        channels: outputs,
                        first_channel: first_panel * PANEL,
                        tiles,
                        first,
                        to: out.get(),
                        layout: ChunkLayout { panels, ..output },
                        _scheme: scheme,
                    });
                });
                for_each(F::A * F::A * panels, tiles.len() * inputs * panels * PANEL * F::A * F::A, |i| {
                    let (f, k) = (i / panels, i % panels);
                    simd::run(Products {
                        input: from.get().add(f * input.stride),
                        inputs: input,
                        grad: out.get().add(f * output.stride + k * output.tiles * PANEL),
                        tiles: tiles.len(),
                        sums: sums.get().add(f * layout.stride + (first_panel + k) * layout.panels * PANEL * PANEL),
                        add: number > 0,
                    });
                });
            }
        }
        transform_back(scheme, sums.get(), layout, [outputs, inputs], grad);
    });
}
