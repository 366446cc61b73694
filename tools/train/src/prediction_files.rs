//! Detections as files: a COCO results list, YOLO label files, a CSV table; and the objects themselves, cut out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use image::imageops;
use repghost_coco::files::write_picture;
use repghost_coco::{write_detections, Detection, RgbImage};

use crate::detection::infer::ImageDetections;
use crate::error::TrainError;
use crate::model::Class;
use crate::run::folder::write_text;

/// How a list of detections is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListFormat {
    /// `detections.json`: COCO results with `file_name`; boxes are x, y, width, height in pixels.
    #[default]
    Coco,
    /// `labels/STEM.txt` per image, Ultralytics' way: class index, centre x and y, width, height (shares of the image), score.
    Yolo,
    /// `detections.csv`: file_name, class, score, x, y, width, height in pixels.
    Csv,
}

impl ListFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Coco, Self::Yolo, Self::Csv];

    /// `coco`, `yolo`, `csv`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Coco => "coco",
            Self::Yolo => "yolo",
            Self::Csv => "csv",
        }
    }

    /// Writes the detections of all images into a folder. `stems` are the names of the images' pictures without an ending, unique, by image
    /// id (from 1). Returns what was written.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(
        self,
        folder: &Path,
        images: &[ImageDetections],
        stems: &[String],
        classes: &[Class],
    ) -> Result<PathBuf, TrainError> {
        match self {
            Self::Coco => coco(folder, images),
            Self::Yolo => yolo(folder, images, stems, classes),
            Self::Csv => csv_table(folder, images, classes),
        }
    }
}

fn coco(folder: &Path, images: &[ImageDetections]) -> Result<PathBuf, TrainError> {
    let named = |f: &ImageDetections| {
        let name = f.file_name.clone();
        f.objects.iter().map(move |d| Detection { file_name: Some(name.clone()), ..d.clone() }).collect::<Vec<_>>()
    };
    let path = folder.join("detections.json");
    write_detections(&path, &images.iter().flat_map(named).collect::<Vec<_>>())?;
    Ok(path)
}

fn yolo(folder: &Path, images: &[ImageDetections], stems: &[String], classes: &[Class]) -> Result<PathBuf, TrainError> {
    let labels = folder.join("labels");
    std::fs::create_dir_all(&labels).map_err(TrainError::io(&labels))?;
    let index: HashMap<i64, usize> = classes.iter().enumerate().map(|(i, class)| (class.id, i)).collect();
    for image in images {
        let [height, width] = image.size.map(|s| s.max(1) as f64);
        let line = |d: &Detection| {
            let [x, y, w, h] = d.bbox?;
            let class = index.get(&d.category_id)?;
            let shares = [(x + w / 2.0) / width, (y + h / 2.0) / height, w / width, h / height].map(|v| format!("{v:.6}"));
            Some(format!("{class} {} {:.6}\n", shares.join(" "), d.score))
        };
        let stem = usize::try_from(image.image_id - 1).ok().and_then(|i| stems.get(i));
        let Some(stem) = stem else { continue };
        write_text(&labels.join(format!("{stem}.txt")), &image.objects.iter().filter_map(line).collect::<String>())?;
    }
    let names: String = classes.iter().map(|class| format!("{}\n", class.name)).collect();
    write_text(&folder.join("classes.txt"), &names)?;
    Ok(labels)
}

fn csv_table(folder: &Path, images: &[ImageDetections], classes: &[Class]) -> Result<PathBuf, TrainError> {
    let path = folder.join("detections.csv");
    let failed = |e: csv::Error| TrainError::io(&path)(std::io::Error::other(e));
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(["file_name", "class", "score", "x", "y", "width", "height"]).map_err(failed)?;
    for image in images {
        for d in &image.objects {
            let class = classes.iter().find(|class| class.id == d.category_id).map_or("", |class| class.name.as_str());
            let numbers = [d.score].into_iter().chain(d.bbox.unwrap_or_default()).map(|v| v.to_string());
            let row = [image.file_name.clone(), class.to_owned()].into_iter().chain(numbers);
            table.write_record(row).map_err(failed)?;
        }
    }
    let bytes = table.into_inner().map_err(|e| TrainError::io(&path)(std::io::Error::other(e.to_string())))?;
    write_text(&path, &String::from_utf8_lossy(&bytes))?;
    Ok(path)
}

/// Cuts the objects out of an image: `FOLDER/CLASS/STEM_1.png`, best first. Returns how many.
///
/// # Errors
/// The disk's.
pub fn write_crops(
    folder: &Path,
    stem: &str,
    image: &RgbImage,
    objects: &[Detection],
    classes: &[Class],
) -> Result<usize, TrainError> {
    let mut count = 0;
    for detection in objects {
        let Some([x, y, w, h]) = detection.bbox else { continue };
        let clamp = |v: f64, end: u32| v.round().clamp(0.0, f64::from(end)) as u32;
        let (left, top) = (clamp(x, image.width()), clamp(y, image.height()));
        let (right, bottom) = (clamp(x + w, image.width()), clamp(y + h, image.height()));
        if right <= left || bottom <= top {
            continue;
        }
        count += 1;
        let class = classes.iter().find(|class| class.id == detection.category_id).map_or("unknown", |class| class.name.as_str());
        let path = folder.join(file_name(class)).join(format!("{stem}_{count}.png"));
        let crop = imageops::crop_imm(image, left, top, right - left, bottom - top).to_image();
        write_picture(&path, &crop).map_err(TrainError::io(&path))?;
    }
    Ok(count)
}

/// A name as that of a file or folder: what leads elsewhere becomes `_`.
pub(crate) fn file_name(class: &str) -> String {
    let name: String = class.chars().map(|c| if matches!(c, '/' | '\\' | ':' | '\0') { '_' } else { c }).collect();
    match name.trim_matches('.') {
        "" => "_".into(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Vec<ImageDetections> {
        let detection = |category_id, bbox, score| Detection {
            image_id: 1,
            file_name: None,
            category_id,
            bbox: Some(bbox),
            score,
            segmentation: None,
        };
        let objects = vec![detection(7, [10.0, 20.0, 40.0, 20.0], 0.75), detection(3, [-5.0, 0.0, 15.0, 10.0], 0.5)];
        let one = ImageDetections { image_id: 1, file_name: "a, b.jpg".into(), size: [50, 100], objects };
        vec![one, ImageDetections { image_id: 2, file_name: "c.jpg".into(), size: [9, 9], objects: vec![] }]
    }

    fn classes() -> Vec<Class> {
        [(3, "ant"), (7, "a/c")].map(|(id, name)| Class { id, name: name.into() }).to_vec()
    }

    #[test]
    fn lists_in_every_format() {
        let dir = tempfile::tempdir().unwrap();
        let stems = ["a".to_string(), "c".to_string()];
        let written = ListFormat::ALL.map(|f| f.write(dir.path(), &images(), &stems, &classes()).unwrap());
        let coco: serde_json::Value = serde_json::from_slice(&std::fs::read(&written[0]).unwrap()).unwrap();
        assert_eq!((coco[0]["file_name"].as_str(), coco[1]["bbox"][0].as_f64()), (Some("a, b.jpg"), Some(-5.0)));
        // Centre (30, 30) of 100 x 50; the image without a detection has an empty file.
        let yolo = |name: &str| std::fs::read_to_string(written[1].join(name)).unwrap();
        let expected = "1 0.300000 0.600000 0.400000 0.400000 0.750000\n0 0.025000 0.100000 0.150000 0.200000 0.500000\n";
        assert_eq!((yolo("a.txt").as_str(), yolo("c.txt").as_str()), (expected, ""));
        assert_eq!(std::fs::read_to_string(dir.path().join("classes.txt")).unwrap(), "ant\na/c\n");
        let csv = std::fs::read_to_string(&written[2]).unwrap();
        assert_eq!(csv.lines().nth(1), Some(r#""a, b.jpg",a/c,0.75,10,20,40,20"#));
        assert_eq!(csv.lines().count(), 3);
    }

    #[test]
    fn crops_stay_in_the_image_and_in_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let image = RgbImage::new(100, 50);
        let count = write_crops(dir.path(), "a", &image, &images()[0].objects, &classes()).unwrap();
        assert_eq!(count, 2);
        let size = |path: &str| image::image_dimensions(dir.path().join(path)).unwrap();
        assert_eq!((size("a_c/a_1.png"), size("ant/a_2.png")), ((40, 20), (10, 10)));
        assert_eq!((file_name(".."), file_name("")), ("_".into(), "_".into()));
    }
}
