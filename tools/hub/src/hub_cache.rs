//! The cache of Python's `huggingface_hub`, in its own layout:
//!
//! ```text
//! models--timm--repghostnet_130.in1k/
//!   refs/main                               the commit
//!   snapshots/COMMIT/model.safetensors      a link to ../../blobs/ETAG
//!   blobs/ETAG                              the bytes; ETAG is their SHA-256, or Git's hash for small files
//! .locks/models--timm--repghostnet_130.in1k/ETAG.lock
//! ```

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::checksum::Checksum;
use crate::client::{header, Client};
use crate::download::{download, Wanted};
use crate::environment::Environment;
use crate::error::HubError;
use crate::progress::Progress;

/// Digits of a commit.
const COMMIT: usize = 40;

/// A file of a repository.
#[derive(Clone, Copy)]
pub struct HubFile<'a> {
    /// `org/name`.
    pub repository: &'a str,
    /// Path in it.
    pub file: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// What people call it.
    pub what: &'a str,
}

/// What the hub states about a file.
struct Stated {
    commit: String,
    etag: String,
    size: Option<u64>,
}

impl HubFile<'_> {
    /// The repository's folder below the cache.
    pub fn folder(&self, environment: &Environment) -> PathBuf {
        environment.hub_cache.join(self.folder_name())
    }

    fn folder_name(&self) -> String {
        format!("models--{}", self.repository.replace('/', "--"))
    }

    /// The file, where the cache has it for this revision.
    pub fn find(&self, environment: &Environment) -> Option<PathBuf> {
        let folder = self.folder(environment);
        let commit = match is_commit(self.revision) {
            true => self.revision.to_string(),
            false => std::fs::read_to_string(folder.join("refs").join(self.revision)).ok()?.trim().to_string(),
        };
        Some(self.pointer(&folder, &commit)).filter(|path| is_commit(&commit) && path.is_file())
    }

    fn pointer(&self, folder: &Path, commit: &str) -> PathBuf {
        folder.join("snapshots").join(commit).join(self.file)
    }

    /// Fetches the file into the cache.
    ///
    /// # Errors
    /// As [`download`], and answers that are not a hub's.
    pub fn fetch(&self, environment: &Environment, progress: &mut dyn Progress) -> Result<PathBuf, HubError> {
        let client = Client::new(environment)?;
        let url = format!("{}/{}/resolve/{}/{}", environment.endpoint, self.repository, escape(self.revision), self.file);
        let token = environment.token.as_deref();
        let stated = stated(&client, &url, token)?;
        let folder = self.folder(environment);
        let (blobs, pointer) = (folder.join("blobs"), self.pointer(&folder, &stated.commit));
        let locks = environment.hub_cache.join(".locks").join(self.folder_name());
        for folder in [Some(blobs.as_path()), pointer.parent(), Some(&locks)].into_iter().flatten() {
            std::fs::create_dir_all(folder).map_err(HubError::io(folder))?;
        }
        let lock = locks.join(format!("{}.lock", stated.etag));
        let locked = OpenOptions::new().create(true).append(true).open(&lock).map_err(HubError::io(&lock))?;
        if locked.try_lock().is_err() {
            progress.note(&format!("{}: another process fetches it; waiting", self.what));
            locked.lock().map_err(HubError::io(&lock))?;
        }
        if !pointer.is_file() {
            let blob = blobs.join(&stated.etag);
            if !blob.is_file() {
                let partial = blobs.join(format!("{}.incomplete", stated.etag));
                let (size, checksum) = (stated.size, Checksum::of_etag(&stated.etag));
                let wanted = Wanted { url: &url, token, what: self.what, partial: &partial, path: &blob, size, checksum };
                download(&client, &wanted, progress)?;
            }
            link(&blob, &pointer, self.file)?;
        }
        if !is_commit(self.revision) {
            let reference = folder.join("refs").join(self.revision);
            if let Some(folder) = reference.parent() {
                std::fs::create_dir_all(folder).map_err(HubError::io(folder))?;
            }
            repghost_files::write_bytes(&reference, stated.commit.as_bytes()).map_err(HubError::io(&reference))?;
        }
        Ok(pointer)
    }
}

/// The checksum that the cache has for a file: the name of the blob that it links to.
pub fn checksum(pointer: &Path) -> Option<Checksum> {
    let blob = std::fs::read_link(pointer).ok()?;
    Checksum::of_etag(blob.file_name()?.to_str()?)
}

fn stated(client: &Client, url: &str, token: Option<&str>) -> Result<Stated, HubError> {
    let headers = client.head(url, token)?;
    let answer = |problem: &str| HubError::Answer { url: url.into(), problem: problem.into() };
    let commit = header(&headers, "x-repo-commit").filter(|text| is_commit(text));
    let commit = commit.ok_or_else(|| answer("the answer has no X-Repo-Commit"))?;
    let linked = header(&headers, "x-linked-etag");
    let etag = linked.or(header(&headers, "etag")).map(|text| text.trim_start_matches("W/").trim_matches('"'));
    // It becomes a file's name.
    let etag = etag.filter(|e| !e.is_empty() && e.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    let etag = etag.ok_or_else(|| answer("the answer has no ETag"))?;
    let size = header(&headers, if linked.is_some() { "x-linked-size" } else { "content-length" });
    Ok(Stated { commit: commit.into(), etag: etag.into(), size: size.and_then(|n| n.parse().ok()) })
}

fn is_commit(text: &str) -> bool {
    text.len() == COMMIT && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A revision in an address: `refs/pr/1` is one part of the path.
fn escape(revision: &str) -> String {
    revision.replace('/', "%2F")
}

/// Links `pointer` to `blob` by a relative path, so that the cache can be moved.
fn link(blob: &Path, pointer: &Path, file: &str) -> Result<(), HubError> {
    let _ = std::fs::remove_file(pointer);
    #[cfg(unix)]
    {
        let up = "../".repeat(2 + file.matches('/').count());
        let name = blob.file_name().unwrap_or_default().to_string_lossy();
        std::os::unix::fs::symlink(format!("{up}blobs/{name}"), pointer).map_err(HubError::io(pointer))
    }
    #[cfg(not(unix))]
    {
        // As Python does where there are no links.
        let _ = file;
        std::fs::rename(blob, pointer).map_err(HubError::io(pointer))
    }
}
