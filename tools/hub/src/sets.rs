//! Public data sets by name: archives that are fetched, compared and unpacked into one folder.

use std::path::{Path, PathBuf};

use crate::checksum::Checksum;
use crate::client::Client;
use crate::download::{download, Wanted};
use crate::environment::Environment;
use crate::error::HubError;
use crate::progress::Progress;
use crate::unpack::unpack;

/// A data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// One line about it, with its licence.
    pub about: &'static str,
    /// Variable that the built-in experiments read its folder from.
    pub variable: &'static str,
    /// Address that the archives' paths are below.
    pub base: String,
    /// Its archives.
    pub parts: Vec<Part>,
}

/// An archive of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is called: `train`, `val`, `annotations`.
    pub name: &'static str,
    /// Path below the set's address.
    pub path: String,
    /// The folder that all its files are in.
    pub folder: &'static str,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256.
    pub sha256: String,
}

/// All sets.
pub fn sets() -> Vec<Set> {
    // Sizes and checksums are those that TensorFlow Datasets records (url_checksums/coco.txt).
    let part =
        |name, path: &str, folder, bytes, sha256: &str| Part { name, path: path.into(), folder, bytes, sha256: sha256.into() };
    vec![Set {
        name: "coco2017",
        about:
            "COCO 2017: 118,287 + 5,000 images, boxes and masks of 80 classes (annotations CC BY 4.0; images have Flickr's terms)",
        variable: "COCO",
        base: "http://images.cocodataset.org".into(),
        parts: vec![
            part(
                "annotations",
                "annotations/annotations_trainval2017.zip",
                "annotations",
                252_907_541,
                "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
            ),
            part(
                "val",
                "zips/val2017.zip",
                "val2017",
                815_585_330,
                "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
            ),
            part(
                "train",
                "zips/train2017.zip",
                "train2017",
                19_336_861_798,
                "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
            ),
        ],
    }]
}

/// What [`fetch`] did with a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Its folder was there.
    Present(PathBuf),
    /// It was unpacked.
    Unpacked(PathBuf),
}

/// Fetches the named parts of a set (all where `only` is empty) into `output`. A part whose folder is there is passed over; an archive that
/// was interrupted continues; an archive is removed once it is unpacked, unless `keep_archives`.
///
/// # Errors
/// As for weights; an archive that cannot be unpacked.
pub fn fetch(
    set: &Set,
    only: &[String],
    output: &Path,
    keep_archives: bool,
    environment: &Environment,
    progress: &mut dyn Progress,
) -> Result<Vec<Done>, HubError> {
    std::fs::create_dir_all(output).map_err(HubError::io(output))?;
    let client = Client::new(environment)?;
    let wanted = set.parts.iter().filter(|part| only.is_empty() || only.iter().any(|name| name == part.name));
    wanted.map(|part| fetch_part(&client, set, part, output, keep_archives, progress)).collect()
}

fn fetch_part(
    client: &Client,
    set: &Set,
    part: &Part,
    output: &Path,
    keep_archive: bool,
    progress: &mut dyn Progress,
) -> Result<Done, HubError> {
    let folder = output.join(part.folder);
    // It was renamed into place as a whole.
    if folder.is_dir() {
        return Ok(Done::Present(folder));
    }
    let name = part.path.rsplit('/').next().unwrap_or(&part.path);
    let (archive, partial) = (output.join(name), output.join(format!("{name}.partial")));
    let url = format!("{}/{}", set.base.trim_end_matches('/'), part.path);
    let checksum = Checksum::Sha256(part.sha256.clone());
    if archive.is_file() {
        checksum.verify(&archive, "the archive is damaged; remove it, and it is fetched anew")?;
    }
    let wanted = Wanted {
        url: &url,
        token: None,
        what: name,
        partial: &partial,
        path: &archive,
        size: Some(part.bytes),
        checksum: Some(checksum),
    };
    if !archive.is_file() {
        download(client, &wanted, progress)?;
    }
    unpack(&archive, part.folder, output, progress)?;
    if !keep_archive {
        std::fs::remove_file(&archive).map_err(HubError::io(&archive))?;
    }
    Ok(Done::Unpacked(folder))
}
