//! Tiles of all maps of a call in one list: pyramid levels that share a filter are transformed and multiplied together, so that small
//! levels cost next to nothing beside the large ones.

use std::mem::MaybeUninit;

use crate::cpu::simd::{Simd, LANES};

/// A batch of maps, `[images, channels, height, width]`, by the address of its first value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Maps {
    pub images: usize,
    pub height: usize,
    pub width: usize,
}

impl Maps {
    pub fn area(&self) -> usize {
        self.height * self.width
    }
}

/// One tile: which batch of maps, which image in it, and the position of its first output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    pub maps: u32,
    pub image: u32,
    pub y: u32,
    pub x: u32,
}

/// All tiles of side `side`, map by map, row by row.
pub(crate) fn tiles(maps: &[Maps], side: usize) -> Vec<Tile> {
    let mut out = vec![];
    for (m, map) in maps.iter().enumerate() {
        for image in 0..map.images {
            for y in (0..map.height).step_by(side) {
                out.extend((0..map.width).step_by(side).map(|x| Tile {
                    maps: m as u32,
                    image: image as u32,
                    y: y as u32,
                    x: x as u32,
                }));
            }
        }
    }
    out
}

/// Reads `rows` rows of eight pixels of channels `first..first + 8` around a position and turns them: `out[row][column]` holds a pixel of the
/// eight channels. What lies outside the map or past the last channel is zero. Columns past `columns` are not to be used.
///
/// # Safety
/// `planes` points to `channels` planes of the map's size.
#[inline(always)]
pub(crate) unsafe fn read_patch<S: Simd, const ROWS: usize>(
    planes: *const f32,
    map: &Maps,
    channels: usize,
    first: usize,
    (top, left): (isize, isize),
    (rows, columns): (usize, usize),
) -> [[S::V; LANES]; ROWS] {
    unsafe {
        let zero = S::splat(0.0);
        let from = (-left).max(0) as usize;
        let to = (map.width as isize - left).clamp(0, columns as isize) as usize;
        let whole = from == 0 && map.width as isize - left >= LANES as isize;
        // Filled row by row: zeroing it all first would cost a call of memset per patch.
        let mut out = MaybeUninit::<[[S::V; LANES]; ROWS]>::uninit();
        for r in 0..ROWS {
            let out = out.as_mut_ptr().cast::<[S::V; LANES]>().add(r);
            let y = top + r as isize;
            if r >= rows || y < 0 || y >= map.height as isize {
                out.write([zero; LANES]);
                continue;
            }
            let offset = y * map.width as isize + left;
            let mut v = [zero; LANES];
            for (c, v) in v.iter_mut().enumerate() {
                if first + c < channels {
                    let p = planes.wrapping_add((first + c) * map.area()).wrapping_offset(offset);
                    *v = if whole { S::load(p) } else { S::load_part(p, from, to) };
                }
            }
            out.write(S::transpose(v));
        }
        out.assume_init()
    }
}
