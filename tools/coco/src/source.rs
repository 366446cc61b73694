//! Where samples come from.
//!
//! A [`Source`] gives the n-th image with its objects, unaltered; what is drawn by chance happens later, in the loader. So a
//! folder of COCO files, the built-in shapes and a test's four pixels feed the same loader.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::annotations::{Annotation, Dataset, ImageRecord};
use crate::decode::{missing, read_image, resolve, DecodeConfig};
use crate::error::DataError;
use crate::mask::MaskShape;
use crate::sample::Sample;
use crate::shards;
use crate::types::{BoxXyxy, SampleTarget};

/// A numbered set of samples, read from several threads at once.
pub trait Source: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Width / height of a sample, without reading it; for batches of similar shapes.
    fn aspect(&self, index: usize) -> f64;

    /// The shard of each sample, where they are stored in archives that are best read one after another; else nothing.
    fn shards(&self) -> Vec<usize> {
        Vec::new()
    }

    /// Reads a sample. The same index always gives the same sample.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    fn load(&self, index: usize) -> Result<Sample, DataError>;
}

/// A COCO annotation file and its folder of images.
///
/// Targets hold what there is to train on: no crowds, no boxes without area; boxes are clipped to the image.
#[derive(Clone, Debug)]
pub struct CocoSource {
    dataset: Arc<Dataset>,
    root: PathBuf,
    decode: DecodeConfig,
    masks: bool,
}

impl CocoSource {
    /// A source over a data set whose images lie under `root`. With `masks` objects carry their outlines, and those without
    /// one are left out.
    pub fn new(dataset: Arc<Dataset>, root: impl Into<PathBuf>, decode: DecodeConfig, masks: bool) -> Self {
        Self { dataset, root: root.into(), decode, masks }
    }
}

impl Source for CocoSource {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn aspect(&self, index: usize) -> f64 {
        self.dataset.images.get(index).map_or(1.0, |image| f64::from(image.width) / f64::from(image.height.max(1)))
    }

    fn shards(&self) -> Vec<usize> {
        let Ok(Some(set)) = shards::of_root(&self.root) else { return Vec::new() };
        self.dataset.images.iter().map(|image| set.find(&image.file_name).map_or(0, |(_, shard)| shard)).collect()
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        let record = self.dataset.images.get(index).ok_or(DataError::NoSuchSample { index, len: self.len() })?;
        let path = resolve(&self.root, &record.file_name)?;
        let image = read_image(&path, &self.decode).map_err(|error| match error {
            DataError::Read { source, path } if source.kind() == std::io::ErrorKind::NotFound => {
                DataError::Missing { hint: missing::hint(&self.root, &record.file_name), path }
            }
            other => other,
        })?;
        if image.dimensions() != (record.width, record.height) {
            let (found, expected) = ([image.width(), image.height()], [record.width, record.height]);
            let hint = match found == [expected[1], expected[0]] {
                true if self.decode.apply_exif => "; data.apply_exif=false keeps images as they are stored",
                true => "; data.apply_exif=true turns images by their EXIF orientation",
                false => "",
            };
            return Err(DataError::SizeMismatch { path, found, expected, hint });
        }
        Ok(Sample { image, ..annotated(record, self.dataset.training_objects(index), self.masks) })
    }
}

/// A sample without its pixels.
fn annotated<'a>(record: &ImageRecord, objects: impl Iterator<Item = (Cow<'a, Annotation>, BoxXyxy)>, masks: bool) -> Sample {
    let target = SampleTarget {
        image_id: record.id,
        file_name: record.file_name.clone(),
        original_size: [record.height as usize, record.width as usize],
        ..SampleTarget::default()
    };
    let mut sample = Sample { target, shapes: masks.then(Vec::new), ..Sample::default() };
    for (annotation, bbox) in objects {
        let label = annotation.label;
        if let Some(shapes) = &mut sample.shapes {
            match MaskShape::owned(annotation.into_owned().segmentation) {
                Some(shape) => shapes.push(shape),
                None => continue,
            }
        }
        sample.target.boxes.push(bbox);
        sample.target.labels.push(label);
    }
    sample
}
