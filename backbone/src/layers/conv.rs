//! Convolutions.

use tch::Tensor;

use super::uniform_parameter;

/// Geometry of a convolution. `Default` is 1x1, stride 1, no padding, one group, no bias.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dConfig {
    /// Kernel height and width.
    pub kernel: [i64; 2],
    /// Step of the window.
    pub stride: i64,
    /// Zeros added at each border: top and bottom, left and right.
    pub padding: [i64; 2],
    /// Step between kernel taps.
    pub dilation: i64,
    /// Number of channel groups; `in` groups make it depthwise.
    pub groups: i64,
    /// Whether a bias is learned.
    pub bias: bool,
}

impl Default for Conv2dConfig {
    fn default() -> Self {
        Self { kernel: [1, 1], stride: 1, padding: [0, 0], dilation: 1, groups: 1, bias: false }
    }
}

impl Conv2dConfig {
    /// A square kernel of odd size `k`, padded so that stride 1 keeps the size.
    pub fn same(k: i64) -> Self {
        Self { kernel: [k, k], padding: [k / 2, k / 2], ..Self::default() }
    }

    /// The same geometry with another stride.
    pub fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// The same geometry with channel groups.
    pub fn groups(self, groups: i64) -> Self {
        Self { groups, ..self }
    }

    /// The same geometry with a bias.
    pub fn with_bias(self) -> Self {
        Self { bias: true, ..self }
    }
}

/// A 2-D convolution, `weight [out, in / groups, kh, kw]`.
#[derive(Debug)]
pub struct Conv2d {
    /// `[out, in / groups, kh, kw]`.
    pub weight: Tensor,
    /// `[out]`, where the layer has one.
    pub bias: Option<Tensor>,
    /// Geometry. Its `bias` is the layer's as it was built; folding adds one to [`Conv2d::bias`].
    pub config: Conv2dConfig,
}

impl Conv2d {
    /// A layer with PyTorch's default initial values: weight and bias from `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`.
    ///
    /// # Panics
    /// When `groups` does not divide both channel counts.
    pub fn new(inputs: i64, outputs: i64, config: Conv2dConfig) -> Self {
        assert!(
            inputs % config.groups == 0 && outputs % config.groups == 0,
            "{} groups do not divide {inputs} input and {outputs} output channels",
            config.groups
        );
        let [kh, kw] = config.kernel;
        let bound = 1.0 / ((inputs / config.groups * kh * kw) as f64).sqrt();
        Self {
            weight: uniform_parameter(&[outputs, inputs / config.groups, kh, kw], bound),
            bias: config.bias.then(|| uniform_parameter(&[outputs], bound)),
            config,
        }
    }

    /// Depthwise: one odd `k x k` kernel per channel, padded to keep the size at stride 1.
    pub fn depthwise(channels: i64, k: i64, stride: i64) -> Self {
        Self::new(channels, channels, Conv2dConfig::same(k).stride(stride).groups(channels))
    }

    /// Number of output channels.
    pub fn outputs(&self) -> i64 {
        self.weight.size()[0]
    }

    /// Number of input channels.
    pub fn inputs(&self) -> i64 {
        self.weight.size()[1] * self.config.groups
    }

    /// Height and width of the output for an input of that height and width.
    pub fn output_size(&self, input: [i64; 2]) -> [i64; 2] {
        let c = &self.config;
        [0, 1].map(|d| (input[d] + 2 * c.padding[d] - c.dilation * (c.kernel[d] - 1) - 1) / c.stride + 1)
    }

    /// Replaces the bias, creating it where there was none.
    pub fn set_bias(&mut self, bias: Tensor) {
        self.bias = Some(bias.set_requires_grad(self.weight.requires_grad()));
    }
}

/// A transposed convolution without padding, `weight [in, out, k, k]`.
#[derive(Debug)]
pub struct ConvTranspose2d {
    /// `[in, out, k, k]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Tensor,
    /// Upsampling factor.
    pub stride: i64,
}

impl ConvTranspose2d {
    /// A layer with PyTorch's default initial values.
    pub fn new(inputs: i64, outputs: i64, kernel: i64, stride: i64) -> Self {
        // PyTorch computes the fan from weight.size(1), which is `outputs` for a transposed convolution.
        let bound = 1.0 / ((outputs * kernel * kernel) as f64).sqrt();
        Self {
            weight: uniform_parameter(&[inputs, outputs, kernel, kernel], bound),
            bias: uniform_parameter(&[outputs], bound),
            stride,
        }
    }
}
