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
    pub const ALL: [Self; 5] = [Self::RoiAlign, Self::FocalLoss, Self::Matcher, Self::Nms, Self::Normalize];

    /// Name of its file.
    pub fn file(self) -> &'static str {
        match self {
            Self::RoiAlign => "roi_align.cu",
            Self::FocalLoss => "focal_loss.cu",
            Self::Matcher => "matcher.cu",
            Self::Nms => "nms.cu",
            Self::Normalize => "normalize.cu",
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
        };
        format!("{SCALAR}\n{own}")
    }

    /// The element types it is compiled for.
    pub fn scalars(self) -> &'static [Scalar] {
        match self {
            Self::RoiAlign | Self::FocalLoss | Self::Normalize => &Scalar::ALL,
            Self::Matcher | Self::Nms => &[Scalar::Float],
        }
    }

    /// Its kernels.
    pub fn entries(self) -> Vec<Entry> {
        Entry::ALL.into_iter().filter(|entry| entry.source() == self).collect()
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
}

impl Entry {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::RoiAlignForward,
        Self::RoiAlignBackward,
        Self::FocalLoss,
        Self::MatchBest,
        Self::MatchJudge,
        Self::NmsCompare,
        Self::NmsWalk,
        Self::Normalize,
    ];

    /// The file it is in.
    pub fn source(self) -> Source {
        match self {
            Self::RoiAlignForward | Self::RoiAlignBackward => Source::RoiAlign,
            Self::FocalLoss => Source::FocalLoss,
            Self::MatchBest | Self::MatchJudge => Source::Matcher,
            Self::NmsCompare | Self::NmsWalk => Source::Nms,
            Self::Normalize => Source::Normalize,
        }
    }

    /// Name of the function in the source.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoiAlignForward => "roi_align_forward",
            Self::RoiAlignBackward => "roi_align_backward",
            Self::FocalLoss => "focal_loss",
            Self::MatchBest => "match_best",
            Self::MatchJudge => "match_judge",
            Self::NmsCompare => "nms_compare",
            Self::NmsWalk => "nms_walk",
            Self::Normalize => "normalize",
        }
    }
}
