//! YOLO: one text file per image, a line per object, numbers as shares of the image's sides.
//!
//! A line is `class x y width height` (the centre), or `class x1 y1 x2 y2 …`, an outline. Names are in `data.yaml` (`names`, a list or
//! a map) or in `classes.txt`. The label file of `…/images/a/b.jpg` is `…/labels/a/b.txt`, as in Ultralytics' loaders; where a set has
//! both in one folder, it is beside the image. An image without a label file has no objects.
//!
//! Sizes are read from the images' headers, as no label file has them.

use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;

use super::{around, files, line, read_text, Format, ImageEntry, ObjectEntry, Place, Records};
use crate::annotations::{AnnotationError, Finding, Problem};
use crate::decode::{self, DecodeConfig};

const NAME: &str = "yolo";
/// Images that a folder may hold.
const IMAGES: [&str; 9] = ["jpg", "jpeg", "jfif", "png", "bmp", "webp", "tif", "tiff", "gif"];
/// Files with the classes' names.
const NAME_FILES: [&str; 3] = ["data.yaml", "data.yml", "dataset.yaml"];
/// Parts of a path that set labels apart from images.
const IMAGES_FOLDER: &str = "images";
const LABELS_FOLDER: &str = "labels";

/// The row of the table.
pub const FORMAT: Format = Format { name: NAME, expects: "data.yaml, or a folder of label files", fits, read };

/// What `data.yaml` holds; other keys are for other programs.
#[derive(Debug, Default, Deserialize)]
struct DataYaml {
    path: Option<String>,
    train: Option<Paths>,
    #[serde(alias = "valid")]
    val: Option<Paths>,
    test: Option<Paths>,
    names: Option<Names>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Paths {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Map(std::collections::BTreeMap<usize, String>),
}

fn fits(path: &Path) -> bool {
    if path.is_dir() {
        return names_file(path).is_some() || files(path, &["txt"]).is_ok_and(|files| !files.is_empty());
    }
    let yaml = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e.eq_ignore_ascii_case("yml"));
    yaml && path.is_file()
}

fn names_file(folder: &Path) -> Option<PathBuf> {
    NAME_FILES.iter().map(|name| folder.join(name)).find(|file| file.is_file())
}

fn read(place: &Place) -> Result<Records, AnnotationError> {
    let given = place.annotations;
    let yaml = if given.is_dir() { given.ancestors().take(3).find_map(names_file) } else { Some(given.to_path_buf()) };
    let data = yaml.as_deref().map(read_yaml).transpose()?.unwrap_or_default();
    let named = data.split(place.split);
    let categories = match data.names {
        Some(Names::List(names)) => names,
        Some(Names::Map(names)) => gapless(names, yaml.as_deref().unwrap_or(given))?,
        None => read_classes(given)?,
    };
    let (images, labels) = folders(place, yaml.as_deref(), &named)?;
    let mut found = files_below(&images)?;
    found.sort();
    if found.is_empty() {
        return Err(refused(&images, "no image in this folder; set the split's images"));
    }
    let read: Vec<OneImage> = found.par_iter().map(|file| read_image(&images, &labels, file, categories.len())).collect();
    let mut records = Records { root: images, categories, ..Records::default() };
    for one in read {
        records.findings.extend(one.findings);
        if let Some(image) = one.image {
            let index = records.images.len();
            records.images.push(image);
            records.objects.extend(one.objects.into_iter().map(|object| ObjectEntry { image: index, ..object }));
        }
    }
    Ok(records)
}

impl DataYaml {
    /// The folder that the file names for a split, relative to itself.
    fn split(&self, split: Option<&str>) -> Option<PathBuf> {
        let paths = match split {
            Some("val") => self.val.as_ref(),
            Some("test") => self.test.as_ref(),
            _ => self.train.as_ref(),
        };
        let path = match paths? {
            Paths::One(path) => path,
            Paths::Several(paths) => paths.first()?,
        };
        Some(self.path.as_ref().map_or(PathBuf::new(), PathBuf::from).join(path))
    }
}

fn read_yaml(path: &Path) -> Result<DataYaml, AnnotationError> {
    serde_yaml::from_str(&read_text(path)?).map_err(|e| refused(path, &e.to_string()))
}

/// A map of names as a list.
fn gapless(names: std::collections::BTreeMap<usize, String>, path: &Path) -> Result<Vec<String>, AnnotationError> {
    match names.keys().enumerate().find(|(i, key)| i != *key) {
        Some((i, _)) => Err(refused(path, &format!("names has no entry {i}"))),
        None => Ok(names.into_values().collect()),
    }
}

/// `classes.txt`, a name per line, in the folder or above it.
fn read_classes(given: &Path) -> Result<Vec<String>, AnnotationError> {
    let file = given.ancestors().take(3).map(|folder| folder.join("classes.txt")).find(|file| file.is_file());
    let Some(file) = file else { return Err(refused(given, "neither data.yaml with names nor classes.txt in it or above it")) };
    Ok(read_text(&file)?.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_string).collect())
}

/// Folder of the images and folder of the label files.
fn folders(place: &Place, yaml: Option<&Path>, named: &Option<PathBuf>) -> Result<(PathBuf, PathBuf), AnnotationError> {
    let given = place.annotations;
    if given.is_dir() && names_file(given).is_none() {
        let images = place.images.map(Path::to_path_buf).unwrap_or_else(|| swap(given, LABELS_FOLDER, IMAGES_FOLDER));
        return Ok((images, given.to_path_buf()));
    }
    let beside = yaml.and_then(Path::parent).unwrap_or(given);
    let images = match (place.images, named) {
        (Some(images), _) => images.to_path_buf(),
        (None, Some(named)) => {
            // Roboflow's exports name `../train/images` for what lies beside the file.
            let inside: PathBuf =
                named.components().skip_while(|c| matches!(c, Component::ParentDir | Component::CurDir)).collect();
            [beside.join(named), beside.join(&inside), named.clone()]
                .into_iter()
                .find(|folder| folder.is_dir())
                .ok_or_else(|| refused(yaml.unwrap_or(given), &format!("{} is not there", beside.join(named).display())))?
        }
        (None, None) => return Err(refused(yaml.unwrap_or(given), "it names no folder for this split; set the split's images")),
    };
    // A split may be named by its folder (`train`) that holds `images` and `labels`.
    let inner = images.join(IMAGES_FOLDER);
    let images = if inner.is_dir() { inner } else { images };
    let labels = swap(&images, IMAGES_FOLDER, LABELS_FOLDER);
    Ok((images, labels))
}

/// The last part `from` of a path replaced by `to`; the same path where there is none.
fn swap(path: &Path, from: &str, to: &str) -> PathBuf {
    let parts: Vec<_> = path.components().collect();
    match parts.iter().rposition(|part| part.as_os_str() == from) {
        None => path.to_path_buf(),
        Some(at) => {
            parts.iter().enumerate().map(|(i, part)| if i == at { std::ffi::OsStr::new(to) } else { part.as_os_str() }).collect()
        }
    }
}

/// Images of a folder and of those below it.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, AnnotationError> {
    let failed = |source| AnnotationError::Read { path: folder.to_owned(), source };
    let mut found = files(folder, &IMAGES)?;
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path)?);
        }
    }
    Ok(found)
}

/// What one image and its label file give.
#[derive(Default)]
struct OneImage {
    image: Option<ImageEntry>,
    objects: Vec<ObjectEntry>,
    findings: Vec<Finding>,
}

fn read_image(root: &Path, labels: &Path, file: &Path, classes: usize) -> OneImage {
    let mut one = OneImage::default();
    let below = file.strip_prefix(root).unwrap_or(file);
    let mut report = |problem: String, place: String| {
        one.findings.push(Finding::new(&Problem::Untranslatable(problem), None, None).at(place));
    };
    let [width, height] = match decode::image_size(file, &DecodeConfig::default()) {
        Ok(size) => size,
        Err(error) => {
            report(error.to_string(), file.display().to_string());
            return one;
        }
    };
    let label_file = labels.join(below).with_extension("txt");
    let text = match label_file.is_file().then(|| read_text(&label_file)).transpose() {
        Ok(text) => text.unwrap_or_default(),
        Err(error) => {
            report(error.to_string(), label_file.display().to_string());
            return one;
        }
    };
    for (number, content) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = line(&label_file, number + 1);
        match read_line(content, classes, [width as f64, height as f64]) {
            Ok((category, bbox, polygons)) => {
                one.objects.push(ObjectEntry { image: 0, category, bbox, polygons, ignored: false, place });
            }
            Err(problem) => report(problem, place),
        }
    }
    let file_name = below.to_string_lossy().into_owned();
    one.image = Some(ImageEntry { file_name, width: width as u32, height: height as u32 });
    one
}

/// Class, box in pixels and outline of a line.
type Line = (usize, [f64; 4], Vec<Vec<f64>>);

fn read_line(text: &str, classes: usize, size: [f64; 2]) -> Result<Line, String> {
    let mut words = text.split_whitespace();
    let class = words.next().unwrap_or_default();
    // Some tools write the class as a float.
    let number = class.parse::<f64>().ok().filter(|c| c.fract() == 0.0 && *c >= 0.0);
    let category = number.ok_or_else(|| format!("class {class:?} is no number from 0"))? as usize;
    if category >= classes {
        return Err(format!("class {category} of {classes}: names go from 0 to {}", classes.saturating_sub(1)));
    }
    let numbers =
        words.map(|word| word.parse::<f64>().ok().filter(|v| v.is_finite()).ok_or_else(|| format!("{word:?} is no number")));
    let numbers = numbers.collect::<Result<Vec<f64>, String>>()?;
    let scaled = |values: &[f64]| -> Vec<f64> { values.iter().zip(size.iter().cycle()).map(|(v, side)| v * side).collect() };
    match numbers.len() {
        4 => {
            let [x, y, w, h] = [numbers[0] * size[0], numbers[1] * size[1], numbers[2] * size[0], numbers[3] * size[1]];
            if numbers.iter().any(|v| *v > 2.0) {
                return Err(format!("{numbers:?} are pixels; shares of the image's sides, 0 to 1, are expected"));
            }
            Ok((category, [x - w / 2.0, y - h / 2.0, w, h], Vec::new()))
        }
        n if n >= 6 && n % 2 == 0 => {
            let polygons = vec![scaled(&numbers)];
            Ok((category, around(&polygons), polygons))
        }
        5 => Err("six numbers: a detection with its score, not a label".into()),
        n => Err(format!("{n} numbers after the class; 4 for a box, or 6 or more for an outline, are expected")),
    }
}

fn refused(path: &Path, reason: &str) -> AnnotationError {
    AnnotationError::Format { path: path.to_owned(), format: NAME, reason: reason.to_string() }
}
