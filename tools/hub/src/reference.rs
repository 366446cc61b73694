//! Names of weights, as people write them.

use std::fmt;

use crate::error::HubError;
use crate::table::{self, Entry, TORCHVISION};

/// What any file of the hub starts with.
const HUB: &str = "hf:";
/// What any file of torchvision's server starts with.
const TORCH: &str = "torch:";
/// Publishers with rows in the table.
const PUBLISHERS: [&str; 2] = ["timm/", "torchvision/"];
/// Endings of files: a text with one of them is a path.
const ENDINGS: [&str; 8] = [".safetensors", ".pth", ".pt", ".tar", ".bin", ".ckpt", ".pkl", ".npz"];
/// The hub's default branch.
const MAIN: &str = "main";
/// Largest distance of a name, as a share of its length, that is still a slip.
const SLIP: f64 = 0.3;

/// A published file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// As it was written.
    pub name: String,
    /// Where it is published.
    pub(crate) place: Place,
    /// Its row, where it has one.
    pub entry: Option<&'static Entry>,
}

/// Where a file is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a model repository of the hub.
    Hub { repository: String, file: String, revision: String },
    /// On torchvision's server.
    Torch { file: String },
}

impl Reference {
    /// Reads a name. `None` is a path and no name.
    ///
    /// # Errors
    /// A publisher's name that the table does not have; `hf:` without repository or file.
    pub fn parse(text: &str) -> Result<Option<Self>, HubError> {
        if let Some(rest) = text.strip_prefix(HUB) {
            return any_file(text, rest).map(Some);
        }
        if let Some(file) = text.strip_prefix(TORCH) {
            let plain = !file.is_empty() && !file.starts_with('.') && !file.contains(['/', '\\', ':', '?', '#']);
            let place = Place::Torch { file: file.into() };
            return plain.then(|| Self { name: text.into(), place, entry: None }).ok_or_else(|| malformed(text)).map(Some);
        }
        if let Some(entry) = table::find(text) {
            let place = match entry.repository.as_str() {
                TORCHVISION => Place::Torch { file: entry.file.clone() },
                repository => Place::Hub { repository: repository.into(), file: entry.file.clone(), revision: MAIN.into() },
            };
            return Ok(Some(Self { name: text.into(), place, entry: Some(entry) }));
        }
        let path = ENDINGS.iter().any(|ending| text.ends_with(ending)) || text.matches('/').count() != 1;
        if path || !PUBLISHERS.iter().any(|publisher| text.starts_with(publisher)) {
            return Ok(None);
        }
        Err(HubError::Unknown { name: text.into(), hint: hint(text) })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn malformed(text: &str) -> HubError {
    HubError::Malformed { name: text.into() }
}

/// `org/name/folder/file@revision`.
fn any_file(text: &str, rest: &str) -> Result<Reference, HubError> {
    let (path, revision) = rest.rsplit_once('@').unwrap_or((rest, MAIN));
    let parts: Vec<&str> = path.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && **part != *"." && **part != *".." && !part.contains(['\\', ':', '?', '#']);
    let revision_is_plain = !revision.is_empty() && revision.split('/').all(|part| plain(&part));
    if parts.len() < 3 || !parts.iter().all(plain) || !revision_is_plain {
        return Err(malformed(text));
    }
    let (repository, file) = (parts[..2].join("/"), parts[2..].join("/"));
    Ok(Reference { name: text.into(), place: Place::Hub { repository, file, revision: revision.into() }, entry: None })
}

/// The nearest name, and the way to any other file.
fn hint(text: &str) -> String {
    let distance = |entry: &Entry| strsim::damerau_levenshtein(text, &entry.name);
    let near = table::entries().iter().min_by_key(|entry| distance(entry));
    let near = near.filter(|entry| distance(entry) as f64 <= SLIP * text.len() as f64);
    // timm's names without the tag of their training data.
    let tagged = || table::entries().iter().find(|e| e.name.strip_prefix(text).is_some_and(|tag| tag.starts_with('.')));
    match tagged().or(near) {
        Some(entry) => format!("; did you mean {}?", entry.name),
        None => "; `repghost-det weights list` has the names, and hf:ORG/NAME/FILE is any file of the hub".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_table_and_of_the_hub() {
        let wide = Reference::parse("timm/repghostnet_130.in1k").unwrap().unwrap();
        let place = |r: &str, f: &str, v: &str| Place::Hub { repository: r.into(), file: f.into(), revision: v.into() };
        assert_eq!(wide.place, place("timm/repghostnet_130.in1k", "model.safetensors", "main"));
        let mask = Reference::parse("torchvision/maskrcnn_resnet50_fpn_coco").unwrap().unwrap();
        assert_eq!(mask.place, Place::Torch { file: "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth".into() });
        let any = Reference::parse("hf:org/name/sub/a.pth@v1").unwrap().unwrap();
        assert_eq!((any.place, any.entry), (place("org/name", "sub/a.pth", "v1"), None));
    }

    #[test]
    fn paths_are_no_names() {
        for path in
            ["a.safetensors", "timm/repghostnet.pth", "runs/a/weights/best.safetensors", "timm/a/b", "weights", "./timm/x"]
        {
            assert_eq!(Reference::parse(path).unwrap(), None, "{path}");
        }
    }

    #[test]
    fn slips_get_the_nearest_name() {
        let error = |text: &str| Reference::parse(text).unwrap_err().to_string();
        assert!(error("timm/repghostnet_130.in1").ends_with("did you mean timm/repghostnet_130.in1k?"));
        assert!(error("timm/mobileone_s0").ends_with("did you mean timm/mobileone_s0.apple_in1k?"));
        assert!(error("torchvision/maskrcn_resnet50_fpn_coco").ends_with("did you mean torchvision/maskrcnn_resnet50_fpn_coco?"));
        assert!(error("timm/vit").contains("weights list"));
        for text in ["hf:org/name", "hf:org//a", "hf:org/name/../a", "hf:org/name/a@", "hf:a", "torch:", "torch:../a.pth"] {
            assert!(error(text).contains("expected hf:ORG/NAME/FILE"), "{text}");
        }
    }
}
