//! Which archives a path names.

use std::path::{Path, PathBuf};

use super::is_tar;
use crate::decode::{is_hidden, is_image};
use crate::error::DataError;

/// Archives of a set at most.
const MAX_SHARDS: u64 = 1_000_000;

/// Whether the last part of a path is a pattern for archives: `*`, or `{000..011}` as WebDataset writes it.
pub(super) fn is_pattern(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    is_tar(path) && (name.contains('*') || braces(&name).is_some())
}

/// Whether a folder holds archives, and no image.
pub(super) fn holds_shards(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    let mut found = false;
    for path in entries.flatten().map(|entry| entry.path()) {
        if is_hidden(&path) {
            continue;
        }
        if is_image(&path) || path.is_dir() {
            return false;
        }
        found |= is_tar(&path);
    }
    found
}

/// The archives that a path names, in the order of their names.
pub(super) fn expand(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if is_tar(path) {
        if let Some(Braces { before, range, width, after }) = braces(&name) {
            return Ok(range.map(|n| folder.join(format!("{before}{n:0width$}{after}"))).collect());
        }
        if !name.contains('*') {
            return Ok(vec![path.to_path_buf()]);
        }
    }
    let (folder, pattern) = if path.is_dir() { (path, "*.tar".into()) } else { (folder, name) };
    let place = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(place).map_err(|source| DataError::Read { path: place.into(), source })?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| fits(name, &pattern) && !is_hidden(Path::new(name))).collect();
    names.sort();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Whether a name fits a pattern with `*`.
fn fits(name: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

struct Braces {
    before: String,
    range: std::ops::RangeInclusive<u64>,
    width: usize,
    after: String,
}

/// `a-{000..011}.tar` in its parts.
fn braces(name: &str) -> Option<Braces> {
    let (before, rest) = name.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    let (first, last) = inside.split_once("..")?;
    let (from, to): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (from <= to && to - from < MAX_SHARDS && first.len() < 20).then(|| Braces {
        before: before.into(),
        range: from..=to,
        width: first.len(),
        after: after.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_archives() {
        assert!(is_pattern(Path::new("a/train-*.tar")) && is_pattern(Path::new("train-{000..011}.tar")));
        assert!(
            !is_pattern(Path::new("a*/train.tar")) && !is_pattern(Path::new("train-{a..b}.tar")) && !is_pattern(Path::new("*"))
        );
        let names: Vec<String> = expand(Path::new("d/t-{08..10}.tar")).unwrap().iter().map(|p| p.display().to_string()).collect();
        assert_eq!(names, ["d/t-08.tar", "d/t-09.tar", "d/t-10.tar"]);
        for (name, pattern, expected) in [
            ("train-01.tar", "train-*.tar", true),
            ("val-01.tar", "train-*.tar", false),
            ("a-b-c.tar", "a*b*.tar", true),
            ("a.tar", "a*a.tar", false),
            ("x.tar", "*.tar", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }
}
