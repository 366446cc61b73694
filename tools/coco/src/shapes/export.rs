//! The built-in data as files: PNG images and COCO JSON.

use std::path::{Path, PathBuf};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::ImageEncoder;
use rayon::prelude::*;
use serde_json::{json, Value};

use super::{generate, ShapesConfig, CLASS_NAMES};
use crate::annotations::{AnnotationError, SampleAnnotations, Segmentation};
use crate::files::write_atomic;

/// What [`write_set`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapesExport {
    /// The image folder.
    pub images: PathBuf,
    /// The annotation file.
    pub annotations: PathBuf,
    /// Number of images.
    pub image_count: usize,
    /// Number of objects.
    pub object_count: usize,
}

/// Writes pictures `first..first + count` to `folder/NAME/` and `folder/annotations/instances_NAME.json`.
///
/// # Errors
/// [`AnnotationError::Write`] with the file that could not be written.
pub fn write_set(
    folder: &Path,
    name: &str,
    seed: u64,
    first: u64,
    count: u64,
    config: &ShapesConfig,
) -> Result<ShapesExport, AnnotationError> {
    let images = folder.join(name);
    let annotations = folder.join("annotations").join(format!("instances_{name}.json"));
    let samples: Vec<SampleAnnotations> = (first..first + count)
        .into_par_iter()
        .map(|index| {
            let (image, sample) = generate(seed, index, config);
            let path = images.join(&sample.image.file_name);
            let failed = |source| AnnotationError::Write { path: path.clone(), source };
            let mut bytes = Vec::new();
            PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
                .write_image(image.as_raw(), image.width(), image.height(), image::ExtendedColorType::Rgb8)
                .map_err(|error| failed(std::io::Error::other(error)))?;
            write_atomic(&path, &bytes).map_err(failed)?;
            Ok(sample)
        })
        .collect::<Result<_, AnnotationError>>()?;
    let text = coco_json(&samples, seed).to_string();
    write_atomic(&annotations, text.as_bytes()).map_err(|source| AnnotationError::Write { path: annotations.clone(), source })?;
    let object_count = samples.iter().map(|sample| sample.annotations.len()).sum();
    Ok(ShapesExport { images, annotations, image_count: samples.len(), object_count })
}

fn coco_json(samples: &[SampleAnnotations], seed: u64) -> Value {
    let images = samples.iter().map(|sample| {
        let image = &sample.image;
        json!({"id": image.id, "file_name": image.file_name, "height": image.height, "width": image.width, "license": 1})
    });
    let objects = samples.iter().flat_map(|sample| {
        sample.annotations.iter().map(|object| {
            let segmentation = match &object.segmentation {
                Segmentation::Rle(rle) => json!({"size": rle.size, "counts": rle.to_packed()}),
                Segmentation::Polygons(polygons) => json!(polygons),
                Segmentation::None => json!([]),
            };
            json!({
                "id": object.id, "image_id": sample.image.id, "category_id": object.category_id, "bbox": object.bbox,
                "area": object.area, "iscrowd": i32::from(object.iscrowd), "segmentation": segmentation,
            })
        })
    });
    let categories = CLASS_NAMES.iter().zip(1..).map(|(name, id)| json!({"id": id, "name": name, "supercategory": "shape"}));
    json!({
        "info": {"description": format!("repghost-det built-in shapes, seed {seed}"), "version": "1"},
        "licenses": [{"id": 1, "name": "CC0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
        "images": images.collect::<Vec<_>>(),
        "annotations": objects.collect::<Vec<_>>(),
        "categories": categories.collect::<Vec<_>>(),
    })
}
