//! RoIAlign from a pyramid by one `GridSample`, which TensorRT has without a plugin.
//!
//! The maps of all levels lie below each other in one *atlas*, padded to the width of the finest. Each sample of a region has its
//! level, so it is looked up at its place in the atlas: one lookup a sample, where sampling each level and choosing would take one for each
//! level. Samples are clamped to their own map first, so that none reads its neighbour; those further than the border (torchvision counts
//! them as zero) are sent outside of the atlas, where `GridSample` gives zero.

use repghost_backbone::ops::Ops;
use tch::Tensor;

use super::super::graph::{Attribute, Edge, ElementType};
use super::super::writer::OnnxWriter;
use super::levels::{by_level, reached};
use super::times;

/// A pixel far outside of any atlas.
const OUTSIDE: f64 = -1e3;

/// The maps of all levels in one.
#[derive(Debug)]
pub struct Atlas {
    map: Edge,
    levels: Vec<u32>,
    heights: Vec<i64>,
    widths: Vec<i64>,
}

/// Bins and samples of a pooling.
#[derive(Clone, Copy, Debug)]
pub struct Bins {
    /// Bins a side.
    pub count: i64,
    /// Samples a bin and axis; at least 1.
    pub ratio: i64,
}

impl Atlas {
    /// Joins maps `[N, C, H, W]`, one per level, fine to coarse, in 32-bit floats (half precision is too coarse for coordinates).
    pub fn new(ops: &mut OnnxWriter, maps: &[Edge], levels: &[u32]) -> Self {
        let width = maps.first().map_or(0, |m| m.shape[3]);
        let padded: Vec<Edge> = maps
            .iter()
            .map(|map| {
                let map = ops.cast(map, ElementType::F32);
                let mut shape = map.shape.clone();
                if shape[3] == width {
                    return map;
                }
                let pads = ops.graph.ints(&[0, 0, 0, 0, 0, 0, 0, width - shape[3]]);
                shape[3] = width;
                ops.op("Pad", &[&map, &pads], &[("mode", Attribute::Text("constant"))], shape)
            })
            .collect();
        let side = |axis: usize| maps.iter().map(|m| m.shape[axis]).collect();
        Self { map: ops.concat(&padded, 2), levels: levels.to_vec(), heights: side(2), widths: side(3) }
    }

    /// Pools `boxes [N, R, 4]` (image pixels) to `[N * R, C, bins, bins]`, as torchvision's `aligned=False`.
    pub fn pool(&self, ops: &mut OnnxWriter, boxes: &Edge, bins: Bins) -> Edge {
        let (n, r) = (boxes.shape[0], boxes.shape[1]);
        let (c, s) = (self.map.shape[1], bins.count * bins.ratio);
        let reached = reached(ops, boxes, &self.levels);
        let scales: Vec<f64> = self.levels.iter().map(|l| 1.0 / f64::from(1u32 << l)).collect();
        let scale = by_level(ops, &reached, &scales);
        let tops: Vec<f64> = (0..self.heights.len()).map(|i| self.heights[..i].iter().sum::<i64>() as f64).collect();
        let top = by_level(ops, &reached, &tops);
        let axis = |ops: &mut OnnxWriter, axis: i64, sizes: &[i64], offset: Option<&Edge>| {
            let sizes: Vec<f64> = sizes.iter().map(|v| *v as f64).collect();
            let size = by_level(ops, &reached, &sizes);
            let at = samples(ops, boxes, axis, &scale, bins);
            let inside = ops.compare("LessOrEqual", &at, &size);
            let last = ops.with_scalar("Sub", &size, 1.0);
            let at = ops.broadcast("Min", &at, &last);
            let at = ops.with_scalar("Max", &at, 0.0);
            let at = match offset {
                Some(offset) => ops.broadcast("Add", &at, offset),
                None => at,
            };
            let moved = ops.with_scalar("Sub", &at, OUTSIDE);
            let moved = ops.mul(&moved, &inside);
            let at = ops.with_scalar("Add", &moved, OUTSIDE);
            // GridSample counts from -1 to 1 between the outer edges of the first and the last pixel.
            let whole = self.map.shape[if axis == 0 { 3 } else { 2 }] as f64;
            let unit = ops.with_scalar("Mul", &at, 2.0 / whole);
            ops.with_scalar("Add", &unit, 1.0 / whole - 1.0)
        };
        let x = axis(ops, 0, &self.widths, None);
        let y = axis(ops, 1, &self.heights, Some(&top));
        let x = ops.reshape(&x, &[0, r, 1, s, 1], vec![n, r, 1, s, 1]);
        let y = ops.reshape(&y, &[0, r, s, 1, 1], vec![n, r, s, 1, 1]);
        let zeros = |ops: &mut OnnxWriter, shape: [i64; 5]| {
            ops.graph.constant(&Tensor::zeros(shape, (tch::Kind::Float, tch::Device::Cpu)), ElementType::F32)
        };
        let (down, across) = (zeros(ops, [1, 1, s, 1, 1]), zeros(ops, [1, 1, 1, s, 1]));
        let x = ops.broadcast("Add", &x, &down);
        let y = ops.broadcast("Add", &y, &across);
        let grid = ops.concat(&[x, y], 4);
        let grid = ops.reshape(&grid, &[0, r * s, s, 2], vec![n, r * s, s, 2]);
        let settings = [
            ("mode", Attribute::Text("bilinear")),
            ("padding_mode", Attribute::Text("zeros")),
            ("align_corners", Attribute::Int(0)),
        ];
        let sampled = ops.op("GridSample", &[&self.map, &grid], &settings, vec![n, c, r * s, s]);
        let pooled = if bins.ratio > 1 { ops.avg_pool2d(&sampled, bins.ratio, bins.ratio) } else { sampled };
        let b = bins.count;
        let split = ops.reshape(&pooled, &[0, c, r, b, b], vec![n, c, r, b, b]);
        let perm = [("perm", Attribute::Ints(&[0, 2, 1, 3, 4]))];
        let turned = ops.op("Transpose", &[&split], &perm, vec![n, r, c, b, b]);
        ops.reshape(&turned, &[-1, c, b, b], vec![times(n, r), c, b, b])
    }
}

/// Positions of all samples along an axis (0 is x) in pixels of the region's map: `[N, R, bins * ratio]`.
fn samples(ops: &mut OnnxWriter, boxes: &Edge, axis: i64, scale: &Edge, bins: Bins) -> Edge {
    let low = ops.slice(boxes, 2, axis, axis + 1);
    let high = ops.slice(boxes, 2, axis + 2, axis + 3);
    let low = ops.broadcast("Mul", &low, scale);
    let high = ops.broadcast("Mul", &high, scale);
    let length = ops.broadcast("Sub", &high, &low);
    let length = ops.with_scalar("Max", &length, 1.0);
    let steps: Vec<f32> = (0..bins.count * bins.ratio).map(|i| (i as f32 + 0.5) / (bins.count * bins.ratio) as f32).collect();
    let steps = ops.graph.constant(&Tensor::from_slice(&steps).view([1, 1, -1]), ElementType::F32);
    let along = ops.broadcast("Mul", &length, &steps);
    ops.broadcast("Add", &along, &low)
}
