//! Pictures that are drawn in memory and written whole.
//!
//! plotters would write the file itself, and takes no notice of a disk that is full.

use std::path::Path;

use plotters::prelude::*;
use repghost_coco::files::write_picture;
use repghost_coco::RgbImage;

use crate::error::TrainError;

/// Draws on a backend of this width and height and writes the picture.
///
/// # Errors
/// [`TrainError::Drawing`] where it cannot be drawn; the disk's.
pub(crate) fn write<E: ToString>(
    path: &Path,
    size: (u32, u32),
    draw: impl FnOnce(BitMapBackend) -> Result<(), E>,
) -> Result<(), TrainError> {
    let mut pixels = vec![0; size.0 as usize * size.1 as usize * 3];
    let fail = |reason: String| TrainError::Drawing { path: path.into(), reason };
    draw(BitMapBackend::with_buffer(&mut pixels, size)).map_err(|e| fail(e.to_string()))?;
    let picture = RgbImage::from_raw(size.0, size.1, pixels).ok_or_else(|| fail("it has no pixels".into()))?;
    write_picture(path, &picture).map_err(TrainError::io(path))
}
