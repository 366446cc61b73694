//! Which anchor learns which object, for a whole batch.

use tch::{Device, Kind, Tensor};

use super::focal::{BACKGROUND, IGNORED};
use super::launch::{address, available, serve, upload};
use super::{Argument, Entry, Grid, KernelError, Launcher, Scalar};

/// As in the source.
const THREADS: u32 = 256;

/// Thresholds of the assignment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// From this IoU on an anchor is foreground.
    pub high: f32,
    /// Below this IoU it is background.
    pub low: f32,
    /// Whether each object claims its best anchors.
    pub low_quality: bool,
}

/// The objects of a batch on a card.
#[derive(Debug)]
pub struct Objects {
    words: Tensor,
    objects: usize,
    images: usize,
}

impl Objects {
    /// Corners x1, y1, x2, y2 of each image's objects.
    pub fn upload(images: &[Vec<[f32; 4]>], device: Device) -> Self {
        let objects: usize = images.iter().map(Vec::len).sum();
        let mut words = Vec::with_capacity(4 * objects + images.len() + 1);
        words.extend(images.iter().flatten().flatten().map(|v| v.to_bits() as i32));
        let mut start = 0;
        words.push(start);
        for image in images {
            start += image.len() as i32;
            words.push(start);
        }
        Self { words: upload(&words, device), objects, images: images.len() }
    }

    /// Corners `[objects, 4]` of all images, one after another.
    pub fn boxes(&self) -> Tensor {
        self.words.narrow(0, 0, 4 * self.objects as i64).view_dtype(Kind::Float).view([-1, 4])
    }

    /// Index `[images + 1]` of each image's first object, and their number.
    pub fn starts(&self) -> Tensor {
        self.words.narrow(0, 4 * self.objects as i64, self.images as i64 + 1)
    }
}

/// An object (index within its image), [`BACKGROUND`] or [`IGNORED`] per anchor: `[N, A]` i32. `anchors [A, 4]` float32 serve all images,
/// `[N, A, 4]` have their own for each.
///
/// # Panics
/// When the anchors have another shape or kind.
pub fn assign(anchors: &Tensor, objects: &Objects, rule: Rule) -> Option<Tensor> {
    let device = anchors.device();
    let size = anchors.size();
    let shared = size.len() == 2;
    let fits = anchors.kind() == Kind::Float && size.last() == Some(&4) && (shared || size[0] == objects.images as i64);
    assert!(fits, "anchors are float32 [A, 4] or [{}, A, 4], not {size:?}", objects.images);
    if !available(device) {
        return None;
    }
    let count = size[size.len() - 2];
    let shape = [objects.images as i64, count];
    let matches = Tensor::full(shape, i64::from(BACKGROUND), (Kind::Int, device));
    if matches.numel() == 0 || objects.objects == 0 {
        return Some(matches);
    }
    let call = Call {
        anchors: anchors.contiguous(),
        count: count as i32,
        shared,
        objects,
        best: Tensor::empty(shape, (Kind::Float, device)),
        claims: Tensor::zeros([objects.objects as i64], (Kind::Int, device)),
        matches,
    };
    serve(device, |launcher| call.run(launcher, rule))?;
    const { assert!(IGNORED < BACKGROUND) };
    Some(call.matches)
}

struct Call<'a> {
    anchors: Tensor,
    count: i32,
    shared: bool,
    objects: &'a Objects,
    best: Tensor,
    claims: Tensor,
    matches: Tensor,
}

impl Call<'_> {
    fn run(&self, launcher: &dyn Launcher, rule: Rule) -> Result<(), KernelError> {
        let (anchors, shared) = (address(&self.anchors), i32::from(self.shared));
        let objects = address(&self.objects.words);
        let starts = objects + (4 * self.objects.objects * size_of::<f32>()) as u64;
        let (best, claims, matches) = (address(&self.best), address(&self.claims), address(&self.matches));
        let low_quality = i32::from(rule.low_quality);
        let blocks = [(self.count as u32).div_ceil(THREADS), self.objects.images as u32, 1];
        let grid = Grid { blocks, threads: THREADS };
        let place = [
            Argument::of(&anchors),
            Argument::of(&self.count),
            Argument::of(&shared),
            Argument::of(&objects),
            Argument::of(&starts),
        ];
        let first = [Argument::of(&matches), Argument::of(&best), Argument::of(&claims)];
        let second = [
            Argument::of(&best),
            Argument::of(&claims),
            Argument::of(&rule.high),
            Argument::of(&rule.low),
            Argument::of(&low_quality),
            Argument::of(&matches),
        ];
        // SAFETY: the parameters of `match_best` and `match_judge`; the tensors have the sizes that the counts give.
        unsafe {
            launcher.launch(Entry::MatchBest, Scalar::Float, grid, &[&place[..], &first[..]].concat())?;
            launcher.launch(Entry::MatchJudge, Scalar::Float, grid, &[&place[..], &second[..]].concat())
        }
    }
}
