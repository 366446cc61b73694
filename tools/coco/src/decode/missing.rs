//! Why a file that an annotation file names is not there, and what is there in its place.

use std::path::{Component, Path, PathBuf};

use crate::shards;

/// The path of a name with backslashes, as Windows' tools write it, where the file is there with slashes.
pub(super) fn with_slashes(root: &Path, name: &str) -> Option<PathBuf> {
    let name = name.contains('\\').then(|| name.replace('\\', "/"))?;
    let inside = Path::new(&name).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    Some(root.join(&name)).filter(|path| inside && path.exists())
}

/// What is probably the cause, to be appended to a message; empty where there is no guess.
pub fn hint(root: &Path, name: &str) -> String {
    if let Some(set) = shards::known(root) {
        return format!(": it is in none of the {} shards", set.count());
    }
    if !root.is_dir() {
        return format!(": there is no folder {}", root.display());
    }
    let slashes = name.replace('\\', "/");
    let drive = matches!(slashes.as_bytes(), [letter, b':', b'/', ..] if letter.is_ascii_alphabetic());
    let base = slashes.rsplit('/').next().unwrap_or_default();
    let there = |name: &str| !name.is_empty() && root.join(name).is_file();
    if drive || slashes.starts_with('/') {
        let found = if there(base) { format!("; {base} is in the image folder") } else { String::new() };
        return format!(": the name is a whole path of another computer{found}; names have to be relative to the image folder");
    }
    let decoded = percent_decoded(&slashes);
    if decoded != slashes && there(&decoded) {
        return format!(": {decoded:?} is there, so the name was encoded for a URL (%20 for a blank)");
    }
    if let Some(found) = beside(root, &slashes, |a, b| a.to_lowercase() == b.to_lowercase()) {
        return format!(": {found:?} is there, which differs in upper and lower case");
    }
    if let Some(found) = beside(root, &slashes, |a, b| !(a.is_ascii() && b.is_ascii()) && skeleton(a) == skeleton(b)) {
        return format!(": {found:?} is there, whose accents are stored another way (Unicode NFC and NFD); rename it");
    }
    if base != slashes && there(base) {
        return format!(": {base} is there, without the folder before it; rename, or set another image folder");
    }
    match below(root, &slashes) {
        Some(found) => format!(": {found} is there; set that folder as the image folder, or write the folder into file_name"),
        None => String::new(),
    }
}

/// The name in the same folder for which `same` holds.
fn beside(root: &Path, name: &str, same: impl Fn(&str, &str) -> bool) -> Option<String> {
    let (folder, base) = name.rsplit_once('/').map_or((root.to_path_buf(), name), |(folder, base)| (root.join(folder), base));
    let entries = std::fs::read_dir(folder).ok()?;
    entries.flatten().find_map(|entry| entry.file_name().into_string().ok().filter(|found| found != base && same(found, base)))
}

/// The name below a folder of the root.
fn below(root: &Path, name: &str) -> Option<String> {
    let mut folders: Vec<_> = std::fs::read_dir(root).ok()?.flatten().map(|e| e.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    let found = folders.into_iter().find(|folder| folder.join(name).is_file())?;
    Some(format!("{}/{name}", found.file_name()?.to_string_lossy()))
}

/// A name without its accented letters: equal for both Unicode forms of the same name.
fn skeleton(name: &str) -> String {
    let is_mark = |c: char| ('\u{300}'..='\u{36f}').contains(&c);
    let chars: Vec<char> = name.chars().collect();
    let plain = |i: usize| chars[i].is_ascii() && !chars.get(i + 1).is_some_and(|next| is_mark(*next));
    (0..chars.len()).filter(|i| plain(*i)).map(|i| chars[i]).collect()
}

fn percent_decoded(name: &str) -> String {
    let (bytes, mut out, mut at) = (name.as_bytes(), Vec::with_capacity(name.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|h| std::str::from_utf8(h).ok());
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_its_hint() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("batch1")).unwrap();
        for name in ["a b.png", "Photo.JPG", "cafe\u{301}.png", "c.png", "batch1/d.png"] {
            std::fs::write(root.join(name), "").unwrap();
        }
        for (name, part) in [
            ("a%20b.png", "encoded for a URL"),
            ("photo.jpg", "upper and lower case"),
            ("caf\u{e9}.png", "NFC and NFD"),
            ("train/c.png", "without the folder"),
            (r"C:\data\c.png", "c.png is in the image folder"),
            ("/home/me/x.png", "another computer"),
            ("d.png", "batch1/d.png is there"),
        ] {
            assert!(hint(root, name).contains(part), "{name}: {}", hint(root, name));
        }
        assert_eq!(hint(root, "nowhere.png"), "");
        assert!(hint(&root.join("none"), "c.png").contains("no folder"));
        assert_eq!(with_slashes(root, r"batch1\d.png"), Some(root.join("batch1/d.png")));
        assert_eq!(with_slashes(root, r"..\x.png"), None);
    }
}
