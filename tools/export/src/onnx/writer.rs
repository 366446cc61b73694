//! The reader that turns a forward into ONNX nodes.

use std::collections::HashMap;

use repghost_backbone::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use repghost_backbone::ops::{Activation, Ops};
use tch::{Kind, Tensor};

use super::graph::{Attribute, Edge, ElementType, GraphBuilder};

/// Where the image lies in the input.
#[derive(Debug)]
pub struct Region {
    /// Normalised pixels `[N, 3, H, W]`, 32-bit floats.
    pub(super) image: Edge,
    /// Blocks of 32 rows and of 32 columns that the image takes, `[N, 1]` each.
    pub(super) blocks: Option<[Edge; 2]>,
    /// Weights `[N, h * w, 1]` by height and width of a map; they add up to 1.
    pub(super) weights: HashMap<[i64; 2], Edge>,
}

impl Region {
    /// Of an input `[N, 3, H, W]` in 32-bit floats.
    pub fn of(image: Edge) -> Self {
        Self { image, blocks: None, weights: HashMap::new() }
    }
}

/// Writes nodes into a [`GraphBuilder`]. Weights are stored in `precision`; edges carry it.
#[derive(Debug)]
pub struct OnnxWriter {
    /// The graph under construction.
    pub graph: GraphBuilder,
    /// Element type of weights and activations.
    pub precision: ElementType,
    /// The part of the input over which maps are averaged, where it is not all of it.
    pub region: Option<Region>,
}

impl OnnxWriter {
    /// An empty graph.
    pub fn new(precision: ElementType) -> Self {
        Self { graph: GraphBuilder::default(), precision, region: None }
    }

    /// A node on floating-point edges of the network's precision.
    pub fn op(&mut self, op: &str, inputs: &[&Edge], settings: &[(&str, Attribute)], shape: Vec<i64>) -> Edge {
        let element = inputs.first().map_or(self.precision, |e| e.element);
        self.graph.node(op, inputs, settings, shape, element)
    }

    /// `x` in another element type; nothing where it has it already.
    pub fn cast(&mut self, x: &Edge, element: ElementType) -> Edge {
        if x.element == element {
            return x.clone();
        }
        self.graph.node("Cast", &[x], &[("to", Attribute::Int(i64::from(element.code())))], x.shape.clone(), element)
    }

    /// `x` with other sizes: 0 copies the input's, -1 is computed. `shape` is the result's.
    pub fn reshape(&mut self, x: &Edge, sizes: &[i64], shape: Vec<i64>) -> Edge {
        let sizes = self.graph.ints(sizes);
        self.op("Reshape", &[x, &sizes], &[], shape)
    }

    fn pool(&mut self, op: &str, x: &Edge, kernel: [i64; 2], stride: i64, padding: i64) -> Edge {
        let out = |axis: usize| (x.shape[2 + axis] + 2 * padding - kernel[axis]) / stride + 1;
        let shape = vec![x.shape[0], x.shape[1], out(0), out(1)];
        let settings = [
            ("kernel_shape", Attribute::Ints(&kernel)),
            ("strides", Attribute::Ints(&[stride; 2])),
            ("pads", Attribute::Ints(&[padding; 4])),
        ];
        self.op(op, &[x], &settings, shape)
    }
}

impl Ops for OnnxWriter {
    type Value = Edge;

    fn share(x: &Edge) -> Edge {
        x.clone()
    }

    fn enter(&mut self, name: &str) {
        self.graph.push_scope(name);
    }

    fn leave(&mut self) {
        self.graph.pop_scope();
    }

    fn conv2d(&mut self, x: &Edge, layer: &Conv2d) -> Edge {
        let c = &layer.config;
        let [h, w] = layer.output_size([x.shape[2], x.shape[3]]);
        let weight = self.graph.parameter("weight", &layer.weight, self.precision);
        let bias = layer.bias.as_ref().map(|b| self.graph.parameter("bias", b, self.precision));
        let inputs: Vec<&Edge> = [x, &weight].into_iter().chain(&bias).collect();
        let [ph, pw] = c.padding;
        let settings = [
            ("kernel_shape", Attribute::Ints(&c.kernel)),
            ("strides", Attribute::Ints(&[c.stride; 2])),
            ("pads", Attribute::Ints(&[ph, pw, ph, pw])),
            ("dilations", Attribute::Ints(&[c.dilation; 2])),
            ("group", Attribute::Int(c.groups)),
        ];
        self.op("Conv", &inputs, &settings, vec![x.shape[0], layer.outputs(), h, w])
    }

    fn conv_transpose2d(&mut self, x: &Edge, layer: &ConvTranspose2d) -> Edge {
        let size = layer.weight.size();
        let out = |d: i64| (d - 1) * layer.stride + size[2];
        let weight = self.graph.parameter("weight", &layer.weight, self.precision);
        let bias = self.graph.parameter("bias", &layer.bias, self.precision);
        let shape = vec![x.shape[0], size[1], out(x.shape[2]), out(x.shape[3])];
        let settings = [("kernel_shape", Attribute::Ints(&size[2..])), ("strides", Attribute::Ints(&[layer.stride; 2]))];
        self.op("ConvTranspose", &[x, &weight, &bias], &settings, shape)
    }

    fn linear(&mut self, x: &Edge, layer: &Linear) -> Edge {
        let weight = self.graph.parameter("weight", &layer.weight, self.precision);
        let bias = self.graph.parameter("bias", &layer.bias, self.precision);
        let shape = vec![x.shape[0], layer.bias.size()[0]];
        self.op("Gemm", &[x, &weight, &bias], &[("transB", Attribute::Int(1))], shape)
    }

    fn batch_norm(&mut self, x: &Edge, layer: &BatchNorm) -> Edge {
        let parts = [
            ("weight", &layer.weight),
            ("bias", &layer.bias),
            ("running_mean", &layer.running_mean),
            ("running_var", &layer.running_var),
        ]
        .map(|(name, t)| self.graph.parameter(name, t, self.precision));
        let inputs: Vec<&Edge> = std::iter::once(x).chain(&parts).collect();
        self.op("BatchNormalization", &inputs, &[("epsilon", Attribute::Float(layer.config.eps as f32))], x.shape.clone())
    }

    /// By instance norm on `[N, groups, everything else]`: operator set 17 has no group norm. Over the image alone where that is not the whole
    /// input. Means and variances are taken in 32-bit floats.
    fn group_norm(&mut self, x: &Edge, layer: &GroupNorm) -> Edge {
        let (n, c, h, w) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3]);
        let normed = if self.region.is_some() {
            let float = self.cast(x, ElementType::F32);
            self.group_norm_over_image(&float, layer.groups, layer.eps)
        } else {
            None
        };
        let normed = normed.unwrap_or_else(|| {
            let g = layer.groups;
            let grouped = self.reshape(x, &[0, g, -1], vec![n, g, c / g * h * w]);
            let kind = (Kind::Float, tch::Device::Cpu);
            let ones = self.graph.constant(&Tensor::ones([g], kind), ElementType::F32);
            let zeros = self.graph.constant(&Tensor::zeros([g], kind), ElementType::F32);
            let settings = [("epsilon", Attribute::Float(layer.eps as f32))];
            let grouped = self.cast(&grouped, ElementType::F32);
            self.op("InstanceNormalization", &[&grouped, &ones, &zeros], &settings, grouped.shape.clone())
        });
        let normed = self.cast(&normed, x.element);
        let y = self.reshape(&normed, &[0, c, h, w], x.shape.clone());
        let weight = self.graph.parameter("weight", &layer.weight.view([1, -1, 1, 1]), self.precision);
        let bias = self.graph.parameter("bias", &layer.bias.view([1, -1, 1, 1]), self.precision);
        let y = self.op("Mul", &[&y, &weight], &[], x.shape.clone());
        self.op("Add", &[&y, &bias], &[], x.shape.clone())
    }

    fn activation(&mut self, x: &Edge, activation: Activation) -> Edge {
        let shape = x.shape.clone();
        match activation {
            Activation::Identity => x.clone(),
            Activation::Relu => self.op("Relu", &[x], &[], shape),
            Activation::Relu6 => {
                let low = self.graph.scalar(0.0, self.precision);
                let high = self.graph.scalar(6.0, self.precision);
                self.op("Clip", &[x, &low, &high], &[], shape)
            }
            Activation::HardSwish => self.op("HardSwish", &[x], &[], shape),
            Activation::HardSigmoid => {
                // ONNX's default slope is 0.2, PyTorch's is 1/6.
                let settings = [("alpha", Attribute::Float(1.0 / 6.0)), ("beta", Attribute::Float(0.5))];
                self.op("HardSigmoid", &[x], &settings, shape)
            }
            Activation::Sigmoid => self.op("Sigmoid", &[x], &[], shape),
        }
    }

    fn add(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.op("Add", &[a, b], &[], a.shape.clone())
    }

    fn mul(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.op("Mul", &[a, b], &[], a.shape.clone())
    }

    fn concat(&mut self, parts: &[Edge], dim: i64) -> Edge {
        let mut shape = parts[0].shape.clone();
        shape[dim as usize] = parts.iter().map(|p| p.shape[dim as usize]).sum();
        let inputs: Vec<&Edge> = parts.iter().collect();
        self.op("Concat", &inputs, &[("axis", Attribute::Int(dim))], shape)
    }

    fn narrow_channels(&mut self, x: &Edge, start: i64, len: i64) -> Edge {
        let [starts, ends, axes] = [start, start + len, 1].map(|v| self.graph.ints(&[v]));
        let mut shape = x.shape.clone();
        shape[1] = len;
        self.op("Slice", &[x, &starts, &ends, &axes], &[], shape)
    }

    /// In 32-bit floats: a sum over a map leaves half precision's range (65,504) at a mean of 16 over 64 x 64.
    fn mean_hw(&mut self, x: &Edge) -> Edge {
        let element = x.element;
        let x = self.cast(x, ElementType::F32);
        let shape = vec![x.shape[0], x.shape[1], 1, 1];
        let mean = match self.mean_over_image(&x) {
            Some(mean) => self.reshape(&mean, &[0, 0, 1, 1], shape),
            None => {
                let settings = [("axes", Attribute::Ints(&[2, 3])), ("keepdims", Attribute::Int(1))];
                self.op("ReduceMean", &[&x], &settings, shape)
            }
        };
        self.cast(&mean, element)
    }

    fn max_pool2d(&mut self, x: &Edge, kernel: i64, stride: i64, padding: i64) -> Edge {
        self.pool("MaxPool", x, [kernel; 2], stride, padding)
    }

    fn avg_pool2d(&mut self, x: &Edge, kernel: i64, stride: i64) -> Edge {
        self.pool("AveragePool", x, [x.shape[2], x.shape[3]].map(|side| kernel.min(side)), stride, 0)
    }

    /// PyTorch's `nearest` is ONNX's asymmetric coordinates rounded down; scales, not sizes, so that the batch may be dynamic.
    fn upsample_nearest(&mut self, x: &Edge, like: &Edge) -> Edge {
        let scale = |d: usize| like.shape[d] as f32 / x.shape[d] as f32;
        let scales = self.graph.constant(&Tensor::from_slice(&[1.0, 1.0, scale(2), scale(3)]), ElementType::F32);
        let inputs = vec![x.name.clone(), String::new(), scales.name];
        let settings = [
            ("coordinate_transformation_mode", Attribute::Text("asymmetric")),
            ("mode", Attribute::Text("nearest")),
            ("nearest_mode", Attribute::Text("floor")),
        ];
        let name = self.graph.raw_node("Resize", inputs, &settings, 1).remove(0);
        Edge { name, shape: vec![x.shape[0], x.shape[1], like.shape[2], like.shape[3]], element: x.element }
    }

    fn flatten(&mut self, x: &Edge) -> Edge {
        self.op("Flatten", &[x], &[("axis", Attribute::Int(1))], vec![x.shape[0], x.shape[1..].iter().product()])
    }

    fn flatten_positions(&mut self, x: &Edge, k: i64) -> Edge {
        let (n, c, h, w) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3]);
        let last = self.op("Transpose", &[x], &[("perm", Attribute::Ints(&[0, 2, 3, 1]))], vec![n, h, w, c]);
        self.reshape(&last, &[0, -1, k], vec![n, c * h * w / k, k])
    }

    fn flatten_logits(&mut self, x: &Edge, k: i64) -> Edge {
        let x = self.lowered_beyond_image(x);
        self.flatten_positions(&x, k)
    }

    fn dropout(&mut self, x: &Edge, _: f64) -> Edge {
        x.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto;

    /// Each of these nodes sums up a whole map.
    const SUMS: [&str; 2] = ["ReduceMean", "InstanceNormalization"];

    fn nodes(precision: ElementType, write: impl Fn(&mut OnnxWriter, &Edge) -> Edge) -> Vec<proto::Node> {
        let mut ops = OnnxWriter::new(precision);
        let x = ops.graph.input("images", &[1, 4, 64, 64], precision);
        let y = write(&mut ops, &x);
        assert_eq!(y.element, precision);
        ops.graph.output("y", &y);
        ops.graph.finish("test", &[]).graph.unwrap().node
    }

    fn ops_of(nodes: &[proto::Node]) -> Vec<&str> {
        nodes.iter().filter_map(|n| n.op_type.as_deref()).collect()
    }

    /// A sum over 64 x 64 values of 16 is 65,536, more than half precision holds.
    #[test]
    fn means_are_taken_in_32_bit_floats() {
        let ones = Tensor::ones([4], (Kind::Float, tch::Device::Cpu));
        let norm = GroupNorm { groups: 2, weight: ones.shallow_clone(), bias: ones, eps: 1e-5 };
        let mean = |ops: &mut OnnxWriter, x: &Edge| ops.mean_hw(x);
        let over_image = |ops: &mut OnnxWriter, x: &Edge| {
            let image = ops.graph.input("pixels", &[1, 3, 64, 64], ElementType::F32);
            ops.region = Some(Region::of(image));
            ops.mean_hw(x)
        };
        let group_norm = |ops: &mut OnnxWriter, x: &Edge| ops.group_norm(x, &norm);
        for found in [nodes(ElementType::F16, mean), nodes(ElementType::F16, group_norm)] {
            let at = found.iter().position(|n| SUMS.contains(&n.op_type.as_deref().unwrap())).unwrap();
            let cast = found.iter().find(|n| n.output[0] == found[at].input[0]).unwrap();
            assert_eq!(cast.op_type.as_deref(), Some("Cast"));
            assert_eq!(cast.attribute[0].i, Some(i64::from(ElementType::F32.code())));
        }
        assert_eq!(ops_of(&nodes(ElementType::F32, mean)), ["ReduceMean", "Identity"]);
        let found = nodes(ElementType::F16, over_image);
        let product = found.iter().find(|n| n.op_type.as_deref() == Some("MatMul")).unwrap();
        let flat = found.iter().find(|n| n.output[0] == product.input[0]).unwrap();
        let cast = found.iter().find(|n| n.output[0] == flat.input[0]).unwrap();
        assert_eq!(cast.attribute[0].i, Some(i64::from(ElementType::F32.code())));
    }
}
