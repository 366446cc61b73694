//! The built-in data as a source of samples.

use super::{generate, ShapesConfig};
use crate::annotations::dataset::trainable;
use crate::error::DataError;
use crate::mask::MaskShape;
use crate::sample::Sample;
use crate::source::Source;
use crate::types::SampleTarget;

/// Pictures `first..first + count` of a series, made anew each time they are asked for.
#[derive(Clone, Debug)]
pub struct ShapesSource {
    /// Seed of the series.
    pub seed: u64,
    /// Number of the first picture.
    pub first: u64,
    /// Number of pictures.
    pub count: usize,
    /// What they look like.
    pub config: ShapesConfig,
    /// Whether objects carry their outlines.
    pub masks: bool,
}

impl Source for ShapesSource {
    fn len(&self) -> usize {
        self.count
    }

    fn aspect(&self, _: usize) -> f64 {
        let [height, width] = self.config.size;
        f64::from(width) / f64::from(height.max(1))
    }

    fn load(&self, index: usize) -> Result<Sample, DataError> {
        if index >= self.count {
            return Err(DataError::NoSuchSample { index, len: self.count });
        }
        let (image, annotations) = generate(self.seed, self.first + index as u64, &self.config);
        let record = annotations.image;
        let size = [record.height, record.width];
        let target = SampleTarget {
            image_id: record.id,
            file_name: record.file_name,
            original_size: size.map(|v| v as usize),
            ..Default::default()
        };
        let mut sample = Sample { image, target, shapes: self.masks.then(Vec::new), ..Sample::default() };
        for (annotation, bbox) in trainable(&annotations.annotations, size) {
            if let Some(shapes) = &mut sample.shapes {
                let Some(shape) = MaskShape::owned(annotation.segmentation.clone()) else { continue };
                shapes.push(shape);
            }
            sample.target.boxes.push(bbox);
            sample.target.labels.push(annotation.label);
        }
        Ok(sample)
    }
}
