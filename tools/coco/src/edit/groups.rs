//! What belongs together when a set is split: frames of a video, pictures of a patient, tiles of a slide.

use regex_lite::Regex;

use super::{file_name, Object};

/// How images form groups. No group is ever on both sides of a split.
#[derive(Clone, Debug)]
pub enum Grouping {
    /// Every image for itself.
    Image,
    /// Images of one folder.
    Folder,
    /// Frames of one video: equal names but for the number at their end (`clip7_0012.jpg`), or equal `video_id`s. Where the name is a
    /// number alone, the folder is the video.
    Video,
    /// Images in whose path the pattern's first group (the whole match, where it has no group) is equal.
    Pattern(Regex),
}

impl Grouping {
    /// Reads `image`, `folder`, `video` or `regex:PATTERN`.
    ///
    /// # Errors
    /// What was expected, or what is wrong with the pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "image" => Ok(Self::Image),
            "folder" => Ok(Self::Folder),
            "video" => Ok(Self::Video),
            _ => match text.strip_prefix("regex:") {
                Some(pattern) => {
                    Regex::new(pattern).map(Self::Pattern).map_err(|e| format!("{pattern:?} is no regular expression: {e}"))
                }
                None => Err("expected image, folder, video or regex:PATTERN".into()),
            },
        }
    }

    /// The group of an image; `None` where the pattern does not match its path.
    pub(super) fn key(&self, image: &Object) -> Option<String> {
        let name = file_name(image);
        match self {
            Self::Image => Some(name),
            Self::Folder => Some(folder(&name).to_string()),
            Self::Video => Some(match image.get("video_id") {
                Some(id) if !id.is_null() => format!("video {id}"),
                _ => video(&name),
            }),
            Self::Pattern(pattern) => {
                let found = pattern.captures(&name)?;
                found.get(1).or(found.get(0)).map(|part| part.as_str().to_string())
            }
        }
    }
}

fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn video(name: &str) -> String {
    let stem = name.rsplit_once('.').filter(|(_, ending)| !ending.contains('/')).map_or(name, |(stem, _)| stem);
    let start = folder(stem).len();
    let without = stem.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['_', '-', '.', ' ']);
    match without.len() > start + 1 || (start == 0 && !without.is_empty()) {
        true => without.trim_end_matches('/').to_string(),
        false => folder(name).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(grouping: &str, name: &str) -> Option<String> {
        let image = serde_json::json!({"file_name": name});
        Grouping::parse(grouping).unwrap().key(image.as_object().unwrap())
    }

    #[test]
    fn groups_of_names() {
        for (grouping, name, group) in [
            ("image", "a/b.jpg", "a/b.jpg"),
            ("folder", "a/b/c.jpg", "a/b"),
            ("folder", "a\\b\\c.jpg", "a/b"),
            ("folder", "c.jpg", ""),
            ("video", "clip7_0012.jpg", "clip7"),
            ("video", "day/clip-3.frame12.jpg", "day/clip-3.frame"),
            ("video", "day1/000012.png", "day1"),
            ("video", "000012.png", ""),
            ("video", "cat.jpg", "cat"),
            ("regex:^([^_]+)_", "patient3_left_1.png", "patient3"),
            ("regex:p\\d+", "x/p12-a.png", "p12"),
        ] {
            assert_eq!(key(grouping, name).as_deref(), Some(group), "{grouping} {name}");
        }
        assert_eq!(key("regex:^p(\\d)", "x.png"), None);
        assert!(Grouping::parse("regex:(").unwrap_err().contains("is no regular expression"));
        assert!(Grouping::parse("patient").unwrap_err().contains("regex:PATTERN"));
    }

    #[test]
    fn a_video_id_counts_more_than_the_name() {
        let image = serde_json::json!({"file_name": "a_1.jpg", "video_id": 5});
        assert_eq!(Grouping::Video.key(image.as_object().unwrap()).as_deref(), Some("video 5"));
    }
}
