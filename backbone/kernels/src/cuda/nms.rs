//! Non-maximum suppression of many groups at once.

use tch::{Kind, Tensor};

use super::launch::{address, available, serve, upload};
use super::{Argument, Entry, Grid, KernelError, Launcher, Scalar};

/// As in the source: threads of a block, and boxes of a word.
const THREADS: u32 = 64;
/// As in the source: words of a group's row.
const MAX_WORDS: usize = 512;
/// Groups of a launch: blocks along z.
const MAX_GROUPS: usize = 65_535;

/// Which boxes stay: `[n]` u8 on the boxes' device, 1 for those that do.
///
/// `boxes [n, 4]` float32 lie group by group, in each in the order of falling scores; `sizes` are the groups' lengths. A box is
/// dropped where a better kept one of its group, and of its class where there are `classes` (`[n]` i32), overlaps it by more than
/// `threshold`. At most `limit` stay per group.
///
/// # Panics
/// When shapes or kinds differ from these.
pub fn keep(boxes: &Tensor, classes: Option<&Tensor>, sizes: &[usize], threshold: f32, limit: usize) -> Option<Tensor> {
    let n: usize = sizes.iter().sum();
    assert!(boxes.kind() == Kind::Float && boxes.size() == [n as i64, 4], "boxes are float32 [{n}, 4], not {:?}", boxes.size());
    let fit = |classes: &Tensor| classes.kind() == Kind::Int && classes.size() == [n as i64];
    assert!(classes.is_none_or(fit), "classes are i32, one per box");
    let device = boxes.device();
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let words = largest.div_ceil(THREADS as usize);
    if words > MAX_WORDS || sizes.len() > MAX_GROUPS || !available(device) {
        return None;
    }
    let keep = Tensor::zeros([n as i64], (Kind::Uint8, device));
    if n == 0 {
        return Some(keep);
    }
    let mut starts = vec![0i32];
    sizes.iter().for_each(|size| starts.push(starts[starts.len() - 1] + *size as i32));
    let call = Call {
        boxes: boxes.detach().contiguous(),
        classes: classes.map(Tensor::contiguous),
        starts: upload(&starts, device),
        groups: sizes.len() as u32,
        words: words as i32,
        mask: Tensor::empty([n as i64, words as i64], (Kind::Int64, device)),
    };
    serve(device, |launcher| call.run(launcher, threshold, limit, &keep))?;
    Some(keep)
}

struct Call {
    boxes: Tensor,
    classes: Option<Tensor>,
    starts: Tensor,
    groups: u32,
    words: i32,
    mask: Tensor,
}

impl Call {
    fn run(&self, launcher: &dyn Launcher, threshold: f32, limit: usize, keep: &Tensor) -> Result<(), KernelError> {
        let (boxes, classes) = (address(&self.boxes), self.classes.as_ref().map_or(0, address));
        let (starts, mask, keep) = (address(&self.starts), address(&self.mask), address(keep));
        let limit = limit.min(i32::MAX as usize) as i32;
        let words = self.words as u32;
        let compare = [
            Argument::of(&boxes),
            Argument::of(&classes),
            Argument::of(&starts),
            Argument::of(&threshold),
            Argument::of(&self.words),
            Argument::of(&mask),
        ];
        let walk =
            [Argument::of(&mask), Argument::of(&starts), Argument::of(&self.words), Argument::of(&limit), Argument::of(&keep)];
        // SAFETY: the parameters of `nms_compare` and `nms_walk`; the mask has a row of `words` per box.
        unsafe {
            let grid = Grid { blocks: [words, words, self.groups], threads: THREADS };
            launcher.launch(Entry::NmsCompare, Scalar::Float, grid, &compare)?;
            let grid = Grid { blocks: [self.groups, 1, 1], threads: THREADS };
            launcher.launch(Entry::NmsWalk, Scalar::Float, grid, &walk)
        }
    }
}
