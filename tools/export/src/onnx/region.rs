//! Means over the image alone, in files whose input has one size: images are letterboxed into it, with zeros at the right and at the bottom.
//!
//! libtorch runs an image padded to a multiple of 32 and no further; a mean over a map (squeeze-and-excitation, group norm) runs over that.
//! Over the zeros of a letterbox it would be another mean, and so other scores: a file of 320 x 320 pixels cost 0.05 AP on photos of 4:3.
//! And anchors over the zeros find what is not there: libtorch has none. So the file looks where the zeros begin, in blocks of 32 pixels, weighs the
//! positions of each map by it, and lowers the logits of those beyond. (A pixel of an image is never
//! zero in all channels: ImageNet's means lie between two of the 256 steps.)

use repghost_backbone::region::{map_stride, BEYOND, BLOCK};
use tch::Tensor;

use super::graph::{Attribute, Edge, ElementType};
use super::writer::{OnnxWriter, Region};

impl OnnxWriter {
    /// Weights of the positions of a map of a height and width, `[N, h * w, 1]`; `None` where no image was named.
    fn weights_of(&mut self, size: [i64; 2]) -> Option<Edge> {
        let mut region = self.region.take()?;
        let weights = match region.weights.get(&size) {
            Some(weights) => weights.clone(),
            // The first map of a size may lie anywhere in the network.
            None => {
                let scope = self.graph.leave_scopes();
                self.graph.push_scope("image_region");
                let weights = self.write_weights(&mut region, size);
                self.graph.enter_scopes(scope);
                region.weights.insert(size, weights.clone());
                weights
            }
        };
        self.region = Some(region);
        Some(weights)
    }

    fn write_weights(&mut self, region: &mut Region, size: [i64; 2]) -> Edge {
        let (n, sides) = (region.image.shape[0], [region.image.shape[2], region.image.shape[3]]);
        let blocks = match &region.blocks {
            Some(blocks) => blocks.clone(),
            None => region.blocks.insert(self.write_blocks(&region.image)).clone(),
        };
        let [rows, columns] = [0, 1].map(|axis| {
            let step = map_stride(sides[axis], size[axis]) as f32 / BLOCK as f32;
            let places: Vec<f32> = (0..size[axis]).map(|i| i as f32 * step).collect();
            let places = self.graph.constant(&Tensor::from_slice(&places).view([1, -1]), ElementType::F32);
            let shape = vec![n, size[axis]];
            let within = self.graph.node("Less", &[&places, &blocks[axis]], &[], shape.clone(), ElementType::Bool);
            let within = self.cast(&within, ElementType::F32);
            let axes = self.graph.ints(&[1]);
            let count = self.op("ReduceSum", &[&within, &axes], &[("keepdims", Attribute::Int(1))], vec![n, 1]);
            self.op("Div", &[&within, &count], &[], shape)
        });
        let rows = self.reshape(&rows, &[0, -1, 1], vec![n, size[0], 1]);
        let columns = self.reshape(&columns, &[0, 1, -1], vec![n, 1, size[1]]);
        let weights = self.op("Mul", &[&rows, &columns], &[], vec![n, size[0], size[1]]);
        self.reshape(&weights, &[0, -1, 1], vec![n, size[0] * size[1], 1])
    }

    /// Blocks of rows and of columns that are not all zero, one at least.
    fn write_blocks(&mut self, image: &Edge) -> [Edge; 2] {
        let n = image.shape[0];
        let size = self.op("Abs", &[image], &[], image.shape.clone());
        [2, 3].map(|axis: usize| {
            let others = [1, if axis == 2 { 3 } else { 2 }];
            let settings = [("axes", Attribute::Ints(&others)), ("keepdims", Attribute::Int(0))];
            let side = image.shape[axis];
            let largest = self.op("ReduceMax", &[&size], &settings, vec![n, side]);
            let blocks = self.reshape(&largest, &[0, side / BLOCK, BLOCK], vec![n, side / BLOCK, BLOCK]);
            let settings = [("axes", Attribute::Ints(&[2])), ("keepdims", Attribute::Int(0))];
            let largest = self.op("ReduceMax", &[&blocks], &settings, vec![n, side / BLOCK]);
            let some = self.op("Sign", &[&largest], &[], largest.shape.clone());
            let axes = self.graph.ints(&[1]);
            let count = self.op("ReduceSum", &[&some, &axes], &[("keepdims", Attribute::Int(1))], vec![n, 1]);
            let one = self.graph.constant(&Tensor::from_slice(&[1f32]), ElementType::F32);
            self.op("Max", &[&count, &one], &[], vec![n, 1])
        })
    }

    /// Means over the image of `x [N, C, h, w]`, whose floats have 32 bits: `[N, C, 1]`.
    pub fn mean_over_image(&mut self, x: &Edge) -> Option<Edge> {
        let [n, c, h, w] = x.shape[..] else { return None };
        let weights = self.weights_of([h, w])?;
        let flat = self.reshape(x, &[0, c, -1], vec![n, c, h * w]);
        Some(self.op("MatMul", &[&flat, &weights], &[], vec![n, c, 1]))
    }

    /// Logits `x [N, C, h, w]`, lowered where the image has ended.
    pub fn lowered_beyond_image(&mut self, x: &Edge) -> Edge {
        let [n, _, h, w] = x.shape[..] else { return x.clone() };
        let Some(weights) = self.weights_of([h, w]) else { return x.clone() };
        let within = self.op("Sign", &[&weights], &[], weights.shape.clone());
        let outside = self.with_scalar("Sub", &within, 1.0);
        let lower = self.with_scalar("Mul", &outside, -BEYOND);
        let lower = self.reshape(&lower, &[0, 1, h, w], vec![n, 1, h, w]);
        let lower = self.cast(&lower, x.element);
        self.broadcast("Add", x, &lower)
    }

    /// Values `[N, groups, C / groups * h * w]` of mean 0 and variance 1 over the image, of `x [N, C, h, w]`, whose floats have 32 bits.
    pub fn group_norm_over_image(&mut self, x: &Edge, groups: i64, eps: f64) -> Option<Edge> {
        let [n, c, h, w] = x.shape[..] else { return None };
        let grouped = [n, groups, c / groups * h * w].to_vec();
        let mean = self.mean_of_groups(x, groups)?;
        let x = self.reshape(x, &[0, groups, -1], grouped);
        let centred = self.broadcast("Sub", &x, &mean);
        let squares = self.op("Mul", &[&centred, &centred], &[], centred.shape.clone());
        let squares = self.reshape(&squares, &[0, c, h, w], vec![n, c, h, w]);
        let variance = self.mean_of_groups(&squares, groups)?;
        let variance = self.with_scalar("Add", &variance, eps);
        let deviation = self.op("Sqrt", &[&variance], &[], variance.shape.clone());
        Some(self.broadcast("Div", &centred, &deviation))
    }

    /// `[N, groups, 1]`.
    fn mean_of_groups(&mut self, x: &Edge, groups: i64) -> Option<Edge> {
        let (n, c) = (x.shape[0], x.shape[1]);
        let mean = self.mean_over_image(x)?;
        let mean = self.reshape(&mean, &[0, groups, -1], vec![n, groups, c / groups]);
        let settings = [("axes", Attribute::Ints(&[2])), ("keepdims", Attribute::Int(1))];
        Some(self.op("ReduceMean", &[&mean], &settings, vec![n, groups, 1]))
    }
}
