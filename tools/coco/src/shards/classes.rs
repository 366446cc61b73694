//! Classes of images in shards: `key.cls` beside `key.jpg`, or the folder in the image's name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Shards;
use crate::decode::is_image;
use crate::error::DataError;

/// Lists names of classes, one a line, for `.cls` files that hold numbers.
pub const NAMES: &str = "classes.txt";
/// Bytes of it at most.
const MAX_BYTES: u64 = 16 << 20;

/// An image's path and its class.
type Classed = (PathBuf, String);

/// All images with the names of their classes.
pub(crate) fn class_files(root: &Path, shards: &Shards) -> Result<Vec<Classed>, DataError> {
    let folder = if root.is_dir() { root } else { root.parent().unwrap_or(Path::new("")) };
    let names: Vec<String> = repghost_files::read_text_bounded(folder.join(NAMES), MAX_BYTES)
        .map(|text| text.lines().map(str::to_string).filter(|line| !line.is_empty()).collect())
        .unwrap_or_default();
    let members: Vec<PathBuf> = shards.members().collect();
    let labels: HashMap<&str, &PathBuf> =
        members.iter().filter(|p| p.extension().is_some_and(|e| e == "cls")).filter_map(|p| Some((key(p)?, p))).collect();
    let mut all = vec![];
    for path in members.iter().filter(|path| is_image(path)) {
        let class = match key(path).and_then(|key| labels.get(key)) {
            Some(file) => named(file, &names)?,
            None => folder_of(path).ok_or_else(|| DataError::Folder {
                path: path.clone(),
                reason: "has no class: neither a .cls file of its name nor a folder before its name".into(),
            })?,
        };
        all.push((path.clone(), class));
    }
    Ok(all)
}

/// WebDataset's key: all before the first dot of the last part.
fn key(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let base = text.rfind('/').map_or(0, |at| at + 1);
    Some(&text[..base + text[base..].find('.')?])
}

/// The class that a `.cls` file holds: a name, or the number of one.
fn named(file: &Path, names: &[String]) -> Result<String, DataError> {
    let bytes = super::read(file).transpose().map_err(|source| DataError::Read { path: file.into(), source })?;
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).trim().to_string();
    let refuse = |reason: String| Err(DataError::Folder { path: file.into(), reason });
    match text.parse::<usize>() {
        _ if text.is_empty() => refuse("is empty; expected a class".into()),
        Ok(number) if !names.is_empty() => match names.get(number) {
            Some(name) => Ok(name.clone()),
            None => refuse(format!("holds {number}, but {NAMES} beside the shards has {} classes", names.len())),
        },
        _ => Ok(text),
    }
}

/// The folder before a member's last part, within the archive.
fn folder_of(path: &Path) -> Option<String> {
    let text = path.to_str()?;
    let inside = &text[text.to_ascii_lowercase().find(".tar/")? + ".tar/".len()..];
    let folder = inside.rsplit('/').nth(1)?;
    Some(folder.to_string())
}
