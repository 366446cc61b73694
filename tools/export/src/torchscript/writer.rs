//! Operations as lines of TorchScript, in the form in which PyTorch serialises programs: every function is one of `torch.`'s operators.

use repghost_backbone::layers::{BatchNorm, Conv2d, ConvTranspose2d, GroupNorm, Linear};
use repghost_backbone::ops::{Activation, Ops};
use tch::Tensor;

/// A tensor of a module.
#[derive(Debug)]
pub struct Attribute {
    /// Path of the module, by components.
    pub module: Vec<String>,
    /// `weight`, `bias`, `running_mean`, …
    pub leaf: &'static str,
    /// Its values.
    pub tensor: Tensor,
    /// Learned, or kept beside what is learned.
    pub parameter: bool,
}

/// Collects code and tensors. A value is the name of a variable.
#[derive(Debug, Default)]
pub struct TorchScriptWriter {
    scope: Vec<String>,
    /// Lines of the body of `forward`.
    pub lines: Vec<String>,
    /// Tensors, each once however often its layer runs.
    pub attributes: Vec<Attribute>,
}

/// `[1, 2]`.
fn list(values: &[i64]) -> String {
    format!("[{}]", values.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
}

/// How the program reaches an attribute: names that are no identifiers (`0`) go through `getattr`.
pub fn attribute(path: &[&str]) -> String {
    path.iter().fold("self".to_string(), |object, name| match name.chars().next() {
        Some(c) if c.is_ascii_alphabetic() || c == '_' => format!("{object}.{name}"),
        _ => format!("getattr({object}, \"{name}\")"),
    })
}

impl TorchScriptWriter {
    fn call(&mut self, expression: String) -> String {
        let name = format!("v{}", self.lines.len());
        self.lines.push(format!("{name} = {expression}"));
        name
    }

    fn tensor(&mut self, leaf: &'static str, tensor: &Tensor, parameter: bool) -> String {
        // A scope may hold several names: `conv.0.0`.
        let module: Vec<String> = self.scope.iter().flat_map(|s| s.split('.')).map(str::to_string).collect();
        let mut path: Vec<&str> = module.iter().map(String::as_str).collect();
        path.push(leaf);
        let expression = attribute(&path);
        if !self.attributes.iter().any(|h| h.leaf == leaf && h.module == module) {
            self.attributes.push(Attribute { module, leaf, tensor: tensor.shallow_clone(), parameter });
        }
        expression
    }

    fn weight(&mut self, tensor: &Tensor) -> String {
        self.tensor("weight", tensor, true)
    }

    fn bias(&mut self, tensor: Option<&Tensor>) -> String {
        tensor.map_or_else(|| "None".to_string(), |b| self.tensor("bias", b, true))
    }
}

impl Ops for TorchScriptWriter {
    type Value = String;

    fn share(x: &String) -> String {
        x.clone()
    }

    fn enter(&mut self, name: &str) {
        self.scope.push(name.to_string());
    }

    fn leave(&mut self) {
        self.scope.pop();
    }

    fn conv2d(&mut self, x: &String, layer: &Conv2d) -> String {
        let c = &layer.config;
        let (weight, bias) = (self.weight(&layer.weight), self.bias(layer.bias.as_ref()));
        let (stride, padding, dilation) = (list(&[c.stride; 2]), list(&c.padding), list(&[c.dilation; 2]));
        self.call(format!("torch.conv2d({x}, {weight}, {bias}, {stride}, {padding}, {dilation}, {})", c.groups))
    }

    fn conv_transpose2d(&mut self, x: &String, layer: &ConvTranspose2d) -> String {
        let (weight, bias) = (self.weight(&layer.weight), self.bias(Some(&layer.bias)));
        let stride = list(&[layer.stride; 2]);
        self.call(format!("torch.conv_transpose2d({x}, {weight}, {bias}, {stride}, [0, 0], [0, 0], 1, [1, 1])"))
    }

    fn linear(&mut self, x: &String, layer: &Linear) -> String {
        let (weight, bias) = (self.weight(&layer.weight), self.bias(Some(&layer.bias)));
        self.call(format!("torch.linear({x}, {weight}, {bias})"))
    }

    fn batch_norm(&mut self, x: &String, layer: &BatchNorm) -> String {
        let learned = layer.config.tracked;
        let weight = self.tensor("weight", &layer.weight, learned);
        let bias = self.tensor("bias", &layer.bias, learned);
        let mean = self.tensor("running_mean", &layer.running_mean, false);
        let var = self.tensor("running_var", &layer.running_var, false);
        let (momentum, eps) = (layer.config.momentum, layer.config.eps);
        self.call(format!("torch.batch_norm({x}, {weight}, {bias}, {mean}, {var}, False, {momentum:?}, {eps:?}, True)"))
    }

    fn group_norm(&mut self, x: &String, layer: &GroupNorm) -> String {
        let (weight, bias) = (self.weight(&layer.weight), self.bias(Some(&layer.bias)));
        self.call(format!("torch.group_norm({x}, {}, {weight}, {bias}, {:?}, True)", layer.groups, layer.eps))
    }

    fn activation(&mut self, x: &String, activation: Activation) -> String {
        match activation {
            Activation::Identity => x.clone(),
            Activation::Relu => self.call(format!("torch.relu({x})")),
            Activation::Relu6 => self.call(format!("torch.hardtanh({x}, 0., 6.)")),
            Activation::HardSwish => self.call(format!("torch.hardswish({x})")),
            Activation::HardSigmoid => self.call(format!("torch.hardsigmoid({x})")),
            Activation::Sigmoid => self.call(format!("torch.sigmoid({x})")),
        }
    }

    fn add(&mut self, a: &String, b: &String) -> String {
        self.call(format!("torch.add({a}, {b})"))
    }

    fn mul(&mut self, a: &String, b: &String) -> String {
        self.call(format!("torch.mul({a}, {b})"))
    }

    fn concat(&mut self, parts: &[String], dim: i64) -> String {
        self.call(format!("torch.cat([{}], {dim})", parts.join(", ")))
    }

    fn narrow_channels(&mut self, x: &String, start: i64, len: i64) -> String {
        self.call(format!("torch.narrow({x}, 1, {start}, {len})"))
    }

    fn mean_hw(&mut self, x: &String) -> String {
        self.call(format!("torch.mean({x}, [2, 3], True)"))
    }

    fn max_pool2d(&mut self, x: &String, kernel: i64, stride: i64, padding: i64) -> String {
        let (kernel, stride, padding) = (list(&[kernel; 2]), list(&[stride; 2]), list(&[padding; 2]));
        self.call(format!("torch.max_pool2d({x}, {kernel}, {stride}, {padding}, [1, 1], False)"))
    }

    fn avg_pool2d(&mut self, x: &String, kernel: i64, stride: i64) -> String {
        let (kernel, stride) = (list(&[kernel; 2]), list(&[stride; 2]));
        self.call(format!("torch.avg_pool2d({x}, {kernel}, {stride}, [0, 0], False, True, None)"))
    }

    fn upsample_nearest(&mut self, x: &String, like: &String) -> String {
        let size = format!("[torch.size({like}, 2), torch.size({like}, 3)]");
        self.call(format!("torch.upsample_nearest2d({x}, {size}, None, None)"))
    }

    fn flatten(&mut self, x: &String) -> String {
        self.call(format!("torch.flatten({x}, 1, -1)"))
    }

    fn flatten_positions(&mut self, x: &String, k: i64) -> String {
        self.call(format!("torch.reshape(torch.permute({x}, [0, 2, 3, 1]), [torch.size({x}, 0), -1, {k}])"))
    }

    fn dropout(&mut self, x: &String, _: f64) -> String {
        x.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_identifiers_go_through_getattr() {
        assert_eq!(attribute(&["blocks", "0", "conv", "weight"]), "getattr(self.blocks, \"0\").conv.weight");
    }
}
