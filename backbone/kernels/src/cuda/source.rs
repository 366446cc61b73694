//! The CUDA source, and what it is compiled with.

use tch::Kind;

/// What is put before every source.
const SCALAR: &str = include_str!("source/scalar.cuh");

/// A file of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// `roi_align.cu`.
    RoiAlign,
    /// `focal_loss.cu`.
    FocalLoss,
    /// `matcher.cu`.
    Matcher,
    /// `nms.cu`.
    Nms,
    /// `normalize.cu`.
    Normalize,
    /// `depthwise.cu`.
    Depthwise,
    /// `batch_norm.cu`.
    BatchNorm,
}

/// The element type that a source is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// float32.
    Float,
    /// float16.
    Half,
    /// bfloat16.
    BFloat16,
}

impl Scalar {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Float, Self::Half, Self::BFloat16];

    /// The type of tensors of `kind`, if kernels are made for it.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Float => Some(Self::Float),
            Kind::Half => Some(Self::Half),
            Kind::BFloat16 => Some(Self::BFloat16),
            _ => None,
        }
    }
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::RoiAlign, Self::FocalLoss, Self::Matcher, Self::Nms, Self::Normalize, Self::Depthwise, Self::BatchNorm];

    /// Name of its file.
    pub fn file(self) -> &'static str {
        match self {
            Self::RoiAlign => "roi_align.cu",
            Self::FocalLoss => "focal_loss.cu",
            Self::Matcher => "matcher.cu",
            Self::Nms => "nms.cu",
            Self::Normalize => "normalize.cu",
            Self::Depthwise => "depthwise.cu",
            Self::BatchNorm => "batch_norm.cu",
        }
    }

    /// The whole text that the compiler gets.
    pub fn text(self) -> String {
        let own = match self {
            Self::RoiAlign => include_str!("source/roi_align.cu"),
            Self::FocalLoss => include_str!("source/focal_loss.cu"),
            Self::Matcher => include_str!("source/matcher.cu"),
            Self::Nms => include_str!("source/nms.cu"),
            Self::Normalize => include_str!("source/normalize.cu"),
            Self::Depthwise => include_str!("source/depthwise.cu"),
            Self::BatchNorm => include_str!("source/batch_norm.cu"),
        };
        format!("{SCALAR}\n{own}")
    }

    /// The element types it is compiled for.
    pub fn scalars(self) -> &'static [Scalar] {
        match self {
            Self::RoiAlign | Self::FocalLoss | Self::Normalize | Self::Depthwise | Self::BatchNorm => &Scalar::ALL,
            Self::Matcher | Self::Nms => &[Scalar::Float],
        }
    }

    /// Its kernels.
    pub fn entries(self) -> Vec<Entry> {
        Entry::all().into_iter().filter(|entry| entry.source() == self).collect()
    }

    /// Options of the compiler. Contraction to fused multiply-adds is off: comparisons then come out as on the CPU.
    pub(super) fn options(self, scalar: Scalar, arch: &str) -> Vec<String> {
        let number = match scalar {
            Scalar::Float => 0,
            Scalar::Half => 1,
            Scalar::BFloat16 => 2,
        };
        vec![
            format!("--gpu-architecture={arch}"),
            "--std=c++17".to_owned(),
            "--fmad=false".to_owned(),
            format!("--define-macro=SCALAR={number}"),
        ]
    }
}

/// A depthwise convolution's filter and stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Window {
    K3S1,
    K3S2,
    K5S1,
    K5S2,
}

impl Window {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::K3S1, Self::K3S2, Self::K5S1, Self::K5S2];

    /// A filter of `side` pixels, if kernels are made for it.
    pub fn of(side: i64, stride: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|window| (window.side(), window.stride()) == (side, stride))
    }

    /// Pixels per side.
    pub fn side(self) -> i64 {
        match self {
            Self::K3S1 | Self::K3S2 => 3,
            Self::K5S1 | Self::K5S2 => 5,
        }
    }

    /// Input pixels per output pixel.
    pub fn stride(self) -> i64 {
        match self {
            Self::K3S1 | Self::K5S1 => 1,
            Self::K3S2 | Self::K5S2 => 2,
        }
    }
}

/// What a kernel of a convolution computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The output.
    Forward,
    /// The gradient of the input, at strides above 1.
    Input,
    /// The gradient of the filters.
    Filter,
}

/// A kernel that can be launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Entry {
    RoiAlignForward,
    RoiAlignBackward,
    FocalLoss,
    MatchBest,
    MatchJudge,
    NmsCompare,
    NmsWalk,
    Normalize,
    BatchNormMoments,
    BatchNormStatistics,
    BatchNormApply,
    BatchNormReduce,
    BatchNormBackward,
    Depthwise(Pass, Window),
}

impl Entry {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let passes = [Pass::Forward, Pass::Input, Pass::Filter];
        let depthwise = Window::ALL.into_iter().flat_map(|window| passes.map(|pass| Self::Depthwise(pass, window)));
        let others = [
            Self::RoiAlignForward,
            Self::RoiAlignBackward,
            Self::FocalLoss,
            Self::MatchBest,
            Self::MatchJudge,
            Self::NmsCompare,
            Self::NmsWalk,
            Self::Normalize,
            Self::BatchNormMoments,
            Self::BatchNormStatistics,
            Self::BatchNormApply,
            Self::BatchNormReduce,
            Self::BatchNormBackward,
        ];
        others.into_iter().chain(depthwise).collect()
    }

    /// The file it is in.
    pub fn source(self) -> Source {
        match self {
            Self::RoiAlignForward | Self::RoiAlignBackward => Source::RoiAlign,
            Self::FocalLoss => Source::FocalLoss,
            Self::MatchBest | Self::MatchJudge => Source::Matcher,
            Self::NmsCompare | Self::NmsWalk => Source::Nms,
            Self::Normalize => Source::Normalize,
            Self::BatchNormMoments
            | Self::BatchNormStatistics
            | Self::BatchNormApply
            | Self::BatchNormReduce
            | Self::BatchNormBackward => Source::BatchNorm,
            Self::Depthwise(..) => Source::Depthwise,
        }
    }

    /// Name of the function in the source.
    pub fn name(self) -> String {
        let plain = match self {
            Self::RoiAlignForward => "roi_align_forward",
            Self::RoiAlignBackward => "roi_align_backward",
            Self::FocalLoss => "focal_loss",
            Self::MatchBest => "match_best",
            Self::MatchJudge => "match_judge",
            Self::NmsCompare => "nms_compare",
            Self::NmsWalk => "nms_walk",
            Self::Normalize => "normalize",
            Self::BatchNormMoments => "batch_norm_moments",
            Self::BatchNormStatistics => "batch_norm_statistics",
            Self::BatchNormApply => "batch_norm_apply",
            Self::BatchNormReduce => "batch_norm_reduce",
            Self::BatchNormBackward => "batch_norm_backward",
            Self::Depthwise(pass, window) => {
                let pass = match pass {
                    Pass::Forward => "forward",
                    Pass::Input => "input",
                    Pass::Filter => "filter",
                };
                return format!("depthwise_{pass}_{}_{}", window.side(), window.stride());
            }
        };
        plain.to_owned()
    }
}
