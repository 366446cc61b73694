//! Small nodes that post-processing is made of. All of them build in TensorRT without plugins: static top-k, no loops, no data-dependent
//! shapes.

use super::graph::{Attribute, Edge, ElementType};
use super::writer::OnnxWriter;

impl OnnxWriter {
    /// Elements `start..end` along `axis`.
    pub fn slice(&mut self, x: &Edge, axis: usize, start: i64, end: i64) -> Edge {
        let [starts, ends, axes] = [start, end, axis as i64].map(|v| self.graph.ints(&[v]));
        let mut shape = x.shape.clone();
        shape[axis] = end - start;
        self.op("Slice", &[x, &starts, &ends, &axes], &[], shape)
    }

    /// The `k` largest along the last axis, sorted: values and indices (`i64`).
    pub fn top_k(&mut self, x: &Edge, k: i64) -> (Edge, Edge) {
        let count = self.graph.ints(&[k]);
        let settings = [("axis", Attribute::Int(-1)), ("largest", Attribute::Int(1)), ("sorted", Attribute::Int(1))];
        let names = self.graph.raw_node("TopK", vec![x.name.clone(), count.name], &settings, 2);
        let mut shape = x.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = k;
        }
        let edge = |i: usize, element| Edge { name: names[i].clone(), shape: shape.clone(), element };
        (edge(0, x.element), edge(1, ElementType::I64))
    }

    /// A new axis of size 1.
    pub fn unsqueeze(&mut self, x: &Edge, axis: usize) -> Edge {
        let axes = self.graph.ints(&[axis as i64]);
        let mut shape = x.shape.clone();
        shape.insert(axis, 1);
        self.op("Unsqueeze", &[x, &axes], &[], shape)
    }

    /// Rows of a constant `table [n, w]` by `indices [N, k]`: `[N, k, w]`.
    pub fn lookup(&mut self, table: &Edge, indices: &Edge) -> Edge {
        let mut shape = indices.shape.clone();
        shape.extend(&table.shape[1..]);
        self.op("Gather", &[table, indices], &[("axis", Attribute::Int(0))], shape)
    }

    /// Rows of `x [N, n, w]` by `indices [N, k]`: `[N, k, w]`. The index is repeated by concatenation, which needs no run-time shape.
    pub fn pick_rows(&mut self, x: &Edge, indices: &Edge) -> Edge {
        let width = x.shape[2];
        let column = self.unsqueeze(indices, 2);
        let mut shape = column.shape.clone();
        shape[2] = width;
        let columns: Vec<&Edge> = std::iter::repeat_n(&column, width as usize).collect();
        let repeated = self.graph.node("Concat", &columns, &[("axis", Attribute::Int(2))], shape.clone(), ElementType::I64);
        self.op("GatherElements", &[x, &repeated], &[("axis", Attribute::Int(1))], shape)
    }

    /// Elements of `x [N, n]` by `indices [N, k]`.
    pub fn pick(&mut self, x: &Edge, indices: &Edge) -> Edge {
        self.op("GatherElements", &[x, indices], &[("axis", Attribute::Int(1))], indices.shape.clone())
    }

    /// Element-wise operation with broadcasting.
    pub fn broadcast(&mut self, op: &str, a: &Edge, b: &Edge) -> Edge {
        let rank = a.shape.len().max(b.shape.len());
        let size = |e: &Edge, i: usize| (i + e.shape.len()).checked_sub(rank).map_or(1, |j| e.shape[j]);
        let shape = (0..rank).map(|i| if size(a, i) == 1 { size(b, i) } else { size(a, i) }).collect();
        self.op(op, &[a, b], &[], shape)
    }

    /// Comparison (`Greater`, `Less`, `Equal`) as 0.0 and 1.0.
    pub fn compare(&mut self, op: &str, a: &Edge, b: &Edge) -> Edge {
        let mut truth = self.broadcast(op, a, b);
        truth.element = ElementType::Bool;
        self.cast(&truth, ElementType::F32)
    }

    /// Element-wise operation with a constant scalar.
    pub fn with_scalar(&mut self, op: &str, x: &Edge, value: f64) -> Edge {
        let scalar = self.graph.scalar(value, x.element);
        self.broadcast(op, x, &scalar)
    }

    /// `x` limited to `low..=high`.
    pub fn clamp(&mut self, x: &Edge, low: f64, high: f64) -> Edge {
        let bounds = [low, high].map(|v| self.graph.scalar(v, x.element));
        self.op("Clip", &[x, &bounds[0], &bounds[1]], &[], x.shape.clone())
    }

    /// Swaps the last two of three axes.
    pub fn transpose_last(&mut self, x: &Edge) -> Edge {
        let shape = vec![x.shape[0], x.shape[2], x.shape[1]];
        self.op("Transpose", &[x], &[("perm", Attribute::Ints(&[0, 2, 1]))], shape)
    }
}
