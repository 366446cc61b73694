//! The focal loss of sigmoid outputs in one pass, and its derivative in another.

use tch::{Kind, Tensor};

use super::launch::{address, available, serve};
use super::{Argument, Entry, Grid, KernelError, Launcher, Scalar};
use crate::custom_op::with_backward;

/// An anchor that should name no class.
pub const BACKGROUND: i32 = -1;
/// An anchor that has no part in the loss.
pub const IGNORED: i32 = -2;

/// As in the source.
const THREADS: u32 = 256;
/// Elements that a thread should have at least before there is another block.
const PER_THREAD: u32 = 16;
/// Blocks of an image.
const MAX_BLOCKS: u32 = 1024;

/// The two constants of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focal {
    /// Weight of present classes; absent ones have `1 - alpha`.
    pub alpha: f32,
    /// How strongly easy answers are scaled down.
    pub gamma: f32,
}

/// Sum over images of `scale * sum of the focal loss`, as a float32 scalar with a gradient for `logits`.
///
/// `logits [N, A, C]` of float32, float16 or bfloat16; `classes [N, A]` i32: a class, [`BACKGROUND`] or [`IGNORED`]; `scales [N]`
/// float32; all on one device. Computed in single precision, summed in double precision, in the same order each time.
///
/// # Panics
/// When shapes or kinds differ from these.
pub fn loss(logits: &Tensor, classes: &Tensor, scales: &Tensor, focal: Focal) -> Option<Tensor> {
    let scalar = Scalar::of(logits.kind())?;
    let device = logits.device();
    let size = logits.size();
    assert!(
        size.len() == 3 && classes.size() == size[..2] && scales.size() == size[..1],
        "one class per anchor, one scale per image"
    );
    assert!(classes.kind() == Kind::Int && scales.kind() == Kind::Float, "classes are i32, scales float32");
    if size[1] * size[2] >= i64::from(i32::MAX) || !available(device) {
        return None;
    }
    let call =
        Call { logits: logits.detach().contiguous(), classes: classes.contiguous(), scales: scales.contiguous(), scalar, focal };
    let blocks = call.blocks();
    let partial = Tensor::zeros([size[0], i64::from(blocks)], (Kind::Double, device));
    serve(device, |launcher| call.run(launcher, None, None, Some(&partial)))?;
    let value = partial.sum(Kind::Double).to_kind(Kind::Float);
    Some(with_backward(value, &[logits], move |upstream| {
        let upstream = upstream.to_kind(Kind::Float).contiguous();
        let grad = call.logits.empty_like();
        serve(device, |launcher| call.run(launcher, Some(&upstream), Some(&grad), None))
            .expect("the gradient of the focal loss runs where the loss ran");
        vec![grad]
    }))
}

/// One pass over the logits.
struct Call {
    logits: Tensor,
    classes: Tensor,
    scales: Tensor,
    scalar: Scalar,
    focal: Focal,
}

impl Call {
    fn blocks(&self) -> u32 {
        let size = self.logits.size();
        ((size[1] * size[2]) as u32).div_ceil(THREADS * PER_THREAD).clamp(1, MAX_BLOCKS)
    }

    fn run(
        &self,
        launcher: &dyn Launcher,
        upstream: Option<&Tensor>,
        grad: Option<&Tensor>,
        partial: Option<&Tensor>,
    ) -> Result<(), KernelError> {
        let size = self.logits.size();
        if self.logits.numel() == 0 {
            return Ok(());
        }
        let (logits, classes, scales) = (address(&self.logits), address(&self.classes), address(&self.scales));
        let [upstream, grad, partial] = [upstream, grad, partial].map(|tensor| tensor.map_or(0, address));
        let (anchors, outputs) = (size[1] as u32, size[2] as u32);
        let arguments = [
            Argument::of(&logits),
            Argument::of(&classes),
            Argument::of(&scales),
            Argument::of(&anchors),
            Argument::of(&outputs),
            Argument::of(&self.focal.alpha),
            Argument::of(&self.focal.gamma),
            Argument::of(&upstream),
            Argument::of(&grad),
            Argument::of(&partial),
        ];
        let grid = Grid { blocks: [self.blocks(), size[0] as u32, 1], threads: THREADS };
        // SAFETY: the parameters of `focal_loss`; shapes were checked in `loss`.
        unsafe { launcher.launch(Entry::FocalLoss, self.scalar, grid, &arguments) }
    }
}
