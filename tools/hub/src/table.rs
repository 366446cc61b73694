//! The published weights that are known by name: `weights.csv`, made by `tools/fixtures/weights_table.py`.

use std::sync::LazyLock;

/// What weights are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A classifier: `init.backbone` takes it.
    Backbone,
    /// A whole detector: `init.detector` takes it.
    Detector,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.pad(match self {
            Self::Backbone => "backbone",
            Self::Detector => "detector",
        })
    }
}

/// A row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `timm/NAME` or `torchvision/NAME`.
    pub name: String,
    /// What they are of.
    pub kind: Kind,
    /// Repository on the hub; `torchvision` for torchvision's own server.
    pub repository: String,
    /// File in it.
    pub file: String,
    /// Licence as the publisher states it.
    pub licence: String,
    /// `model.backbone` that the weights fit, or the experiment.
    pub fits: String,
    /// Size in bytes, where it is known.
    pub bytes: Option<u64>,
    /// SHA-256 in hexadecimal digits, where it is known.
    pub sha256: Option<String>,
}

/// Repository of torchvision's own files.
pub(crate) const TORCHVISION: &str = "torchvision";

static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| parse(include_str!("../weights.csv")));

/// All rows, in the order in which they are listed.
pub fn entries() -> &'static [Entry] {
    &ENTRIES
}

/// The row of a name.
pub fn find(name: &str) -> Option<&'static Entry> {
    entries().iter().find(|entry| entry.name == name)
}

/// Rows that are damaged are left out; a test counts them.
fn parse(text: &str) -> Vec<Entry> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
    reader.records().filter_map(|record| row(&record.ok()?)).collect()
}

fn row(record: &csv::StringRecord) -> Option<Entry> {
    let text = |column: usize| record.get(column).map(str::to_string);
    let known = |column: usize| text(column).filter(|v| v != "none");
    Some(Entry {
        name: text(0)?,
        kind: match record.get(1)? {
            "backbone" => Kind::Backbone,
            "detector" => Kind::Detector,
            _ => return None,
        },
        repository: text(2)?,
        file: text(3)?,
        licence: text(4)?,
        fits: text(5)?,
        bytes: known(6).map(|v| v.parse()).transpose().ok()?,
        sha256: known(7),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read_and_names_are_unique() {
        let lines = include_str!("../weights.csv").lines().filter(|l| !l.starts_with('#') && !l.is_empty()).count();
        assert_eq!(entries().len(), lines - 1, "rows below the header");
        let names: std::collections::HashSet<&str> = entries().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names.len(), entries().len());
        for entry in entries() {
            assert!(entry.name.split_once('/').is_some_and(|(publisher, _)| ["timm", TORCHVISION].contains(&publisher)));
            assert!(entry.sha256.as_ref().is_none_or(|v| v.len() == 64), "{}", entry.name);
        }
    }

    #[test]
    fn rows_have_what_their_publishers_state() {
        let mask = find("torchvision/maskrcnn_resnet50_fpn_coco").unwrap();
        assert_eq!((mask.kind, mask.file.as_str()), (Kind::Detector, "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"));
        let wide = find("timm/repghostnet_130.in1k").unwrap();
        assert_eq!((wide.repository.as_str(), wide.file.as_str()), ("timm/repghostnet_130.in1k", "model.safetensors"));
        assert_eq!((wide.licence.as_str(), wide.fits.as_str()), ("mit", "{name: repghostnet, width: 1.3}"));
    }
}
