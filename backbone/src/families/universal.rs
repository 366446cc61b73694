//! The tables of MobileNetV4's convolutional networks (Qin et al., 2024, appendix), which RepGhostNetV2 shares.

use crate::rounding::make_divisible;

/// A row of a table.
#[derive(Clone, Copy, Debug)]
pub enum Row {
    /// A convolution with batch norm: kernel, stride, output channels.
    Conv(i64, i64, i64),
    /// A 3x3 convolution of stride 2 to `expansion` times the input channels, and a linear 1x1 one to the output channels.
    Fused(i64, i64),
    /// A universal bottleneck: kernels at the start and in the middle (0 for none), stride, expansion, output channels.
    Universal(i64, i64, i64, i64, i64),
}

use Row::{Conv, Fused, Universal};

/// A network.
pub struct Table {
    /// Output channels of the stem.
    pub stem: i64,
    /// Rows of the stages of strides 4 to 32.
    pub stages: [&'static [Row]; 4],
}

/// Output channels of the convolution behind the last stage, and of the one behind the pooling.
pub const LAST_CHANNELS: i64 = 960;
/// Output channels of the convolution on pooled features.
pub const HEAD_CHANNELS: i64 = 1280;

/// 3.8 M parameters.
pub const SMALL: Table = Table {
    stem: 32,
    stages: [
        &[Conv(3, 2, 32), Conv(1, 1, 32)],
        &[Conv(3, 2, 96), Conv(1, 1, 64)],
        &[
            Universal(5, 5, 2, 3, 96),
            Universal(0, 3, 1, 2, 96),
            Universal(0, 3, 1, 2, 96),
            Universal(0, 3, 1, 2, 96),
            Universal(0, 3, 1, 2, 96),
            Universal(3, 0, 1, 4, 96),
        ],
        &[
            Universal(3, 3, 2, 6, 128),
            Universal(5, 5, 1, 4, 128),
            Universal(0, 5, 1, 4, 128),
            Universal(0, 5, 1, 3, 128),
            Universal(0, 3, 1, 4, 128),
            Universal(0, 3, 1, 4, 128),
        ],
    ],
};

/// 9.7 M parameters.
pub const MEDIUM: Table = Table {
    stem: 32,
    stages: [
        &[Fused(4, 48)],
        &[Universal(3, 5, 2, 4, 80), Universal(3, 3, 1, 2, 80)],
        &[
            Universal(3, 5, 2, 6, 160),
            Universal(3, 3, 1, 4, 160),
            Universal(3, 3, 1, 4, 160),
            Universal(3, 5, 1, 4, 160),
            Universal(3, 3, 1, 4, 160),
            Universal(3, 0, 1, 4, 160),
            Universal(0, 0, 1, 2, 160),
            Universal(3, 0, 1, 4, 160),
        ],
        &[
            Universal(5, 5, 2, 6, 256),
            Universal(5, 5, 1, 4, 256),
            Universal(3, 5, 1, 4, 256),
            Universal(3, 5, 1, 4, 256),
            Universal(0, 0, 1, 4, 256),
            Universal(3, 0, 1, 4, 256),
            Universal(3, 5, 1, 2, 256),
            Universal(5, 5, 1, 4, 256),
            Universal(0, 0, 1, 4, 256),
            Universal(0, 0, 1, 4, 256),
            Universal(5, 0, 1, 2, 256),
        ],
    ],
};

/// 32.6 M parameters.
pub const LARGE: Table = Table {
    stem: 24,
    stages: [
        &[Fused(4, 48)],
        &[Universal(3, 5, 2, 4, 96), Universal(3, 3, 1, 4, 96)],
        &[
            Universal(3, 5, 2, 4, 192),
            Universal(3, 3, 1, 4, 192),
            Universal(3, 3, 1, 4, 192),
            Universal(3, 3, 1, 4, 192),
            Universal(3, 5, 1, 4, 192),
            Universal(5, 3, 1, 4, 192),
            Universal(5, 3, 1, 4, 192),
            Universal(5, 3, 1, 4, 192),
            Universal(5, 3, 1, 4, 192),
            Universal(5, 3, 1, 4, 192),
            Universal(3, 0, 1, 4, 192),
        ],
        &[
            Universal(5, 5, 2, 4, 512),
            Universal(5, 5, 1, 4, 512),
            Universal(5, 5, 1, 4, 512),
            Universal(5, 5, 1, 4, 512),
            Universal(5, 0, 1, 4, 512),
            Universal(5, 3, 1, 4, 512),
            Universal(5, 0, 1, 4, 512),
            Universal(5, 0, 1, 4, 512),
            Universal(5, 3, 1, 4, 512),
            Universal(5, 5, 1, 4, 512),
            Universal(5, 0, 1, 4, 512),
            Universal(5, 0, 1, 4, 512),
            Universal(5, 0, 1, 4, 512),
        ],
    ],
};

/// Channels between expansion and projection.
pub fn expanded(inputs: i64, expansion: i64) -> i64 {
    const DIVISOR: i64 = 8;
    make_divisible((inputs * expansion) as f64, DIVISOR)
}
