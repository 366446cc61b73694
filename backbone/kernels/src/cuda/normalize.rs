//! Bytes to normalised pixels, with zeros in the padding.

use tch::{Kind, Tensor};

use super::launch::{address, available, serve, upload};
use super::{Argument, Entry, Grid, Scalar};

/// As in the source.
const THREADS: u32 = 256;
/// Blocks of an image.
const MAX_BLOCKS: u32 = 1024;

/// What a byte is multiplied by, and what is added.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Factor per colour: 1 / (255 x standard deviation).
    pub scale: [f32; 3],
    /// Summand per colour: -mean / standard deviation.
    pub offset: [f32; 3],
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Layout([i64; 4]);

impl Layout {
    fn of(tensor: &Tensor) -> Self {
        let stride = tensor.stride();
        Self([stride[0], stride[1], stride[2], stride[3]])
    }
}

/// `x * scale + offset` of `pixels [N, 3, H, W]` u8 (any strides) within each image's `sizes` (height, width), 0 beside it: `[N,
/// 3, H, W]` of `kind`, with channels last in memory if so asked.
///
/// # Panics
/// When shapes or kinds differ from these.
pub fn normalize(pixels: &Tensor, sizes: &[[i64; 2]], norm: Norm, kind: Kind, channels_last: bool) -> Option<Tensor> {
    let scalar = Scalar::of(kind)?;
    let size = pixels.size();
    let device = pixels.device();
    let fits = pixels.kind() == Kind::Uint8 && size.len() == 4 && size[1] == 3 && size[0] == sizes.len() as i64;
    assert!(fits, "pixels are u8 [{}, 3, H, W], not {size:?}", sizes.len());
    if size[2] * size[3] * 3 >= i64::from(i32::MAX) || !available(device) {
        return None;
    }
    let out = if channels_last {
        Tensor::empty([size[0], size[2], size[3], 3], (kind, device)).permute([0, 3, 1, 2])
    } else {
        Tensor::empty(&size, (kind, device))
    };
    if out.numel() == 0 {
        return Some(out);
    }
    let words: Vec<i32> = sizes.as_flattened().iter().map(|v| *v as i32).collect();
    let uploaded = upload(&words, device);
    let (from, to) = (Layout::of(pixels), Layout::of(&out));
    let (source, sizes, target) = (address(pixels), address(&uploaded), address(&out));
    let (height, width, last) = (size[2] as i32, size[3] as i32, i32::from(channels_last));
    let arguments = [
        Argument::of(&source),
        Argument::of(&from),
        Argument::of(&sizes),
        Argument::of(&height),
        Argument::of(&width),
        Argument::of(&norm),
        Argument::of(&target),
        Argument::of(&to),
        Argument::of(&last),
    ];
    let count = (3 * size[2] * size[3]) as u32;
    let grid = Grid { blocks: [count.div_ceil(THREADS).min(MAX_BLOCKS), size[0] as u32, 1], threads: THREADS };
    // SAFETY: the parameters of `normalize`; the tensors have the sizes and strides that are passed.
    serve(device, |launcher| unsafe { launcher.launch(Entry::Normalize, scalar, grid, &arguments) })?;
    Some(out)
}
