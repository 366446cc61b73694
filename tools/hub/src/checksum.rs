//! Checksums that publishers state, and files compared with them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::HubError;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// A checksum in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256, or its first digits.
    Sha256(String),
    /// Git's name of a file: SHA-1 over `blob SIZE\0` and the content. The hub has it for small files.
    GitBlob(String),
}

impl Checksum {
    /// From the hub's `ETag`, which is also the name of a blob in its cache; `None` for other texts.
    pub fn of_etag(etag: &str) -> Option<Self> {
        match (etag.len(), is_hex(etag)) {
            (64, true) => Some(Self::Sha256(etag.to_ascii_lowercase())),
            (40, true) => Some(Self::GitBlob(etag.to_ascii_lowercase())),
            _ => None,
        }
    }

    /// From the name of a torchvision file, `NAME-XXXXXXXX.pth`, whose digits start its SHA-256.
    pub fn of_torch_name(file: &str) -> Option<Self> {
        let (_, digits) = file.rsplit_once('.')?.0.rsplit_once('-')?;
        (digits.len() >= 8 && is_hex(digits)).then(|| Self::Sha256(digits.to_ascii_lowercase()))
    }

    /// What it is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "SHA-256",
            Self::GitBlob(_) => "Git hash",
        }
    }

    /// Compares a file. `advice` is what to do where it differs.
    ///
    /// # Errors
    /// [`HubError::Checksum`]; a file that cannot be read.
    pub fn verify(&self, path: &Path, advice: &'static str) -> Result<(), HubError> {
        let (expected, found) = match self {
            Self::Sha256(digits) => (digits, hash::<Sha256>(path, None)?),
            Self::GitBlob(digits) => {
                let size = std::fs::metadata(path).map_err(HubError::io(path))?.len();
                (digits, hash::<Sha1>(path, Some(format!("blob {size}\0")))?)
            }
        };
        if found.starts_with(expected.as_str()) {
            return Ok(());
        }
        let (kind, expected) = (self.kind(), expected.clone());
        let found = found[..expected.len().min(found.len())].to_string();
        Err(HubError::Checksum { path: path.into(), kind, expected, found, advice })
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn hash<D: Digest>(path: &Path, start: Option<String>) -> Result<String, HubError> {
    let mut file = File::open(path).map_err(HubError::io(path))?;
    let mut digest = D::new();
    if let Some(start) = start {
        digest.update(start);
    }
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block).map_err(HubError::io(path))? {
            0 => break,
            n => digest.update(&block[..n]),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf 'hello\n' | sha256sum`, `printf 'hello\n' | git hash-object --stdin`.
    #[test]
    fn known_values() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "hello\n").unwrap();
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for good in [sha256, "ce013625030ba8dba906f756967f9e9ca394464a"] {
            Checksum::of_etag(good).unwrap().verify(&path, "").unwrap();
        }
        Checksum::of_torch_name("net-5891b5b5.pth").unwrap().verify(&path, "").unwrap();
        let wrong = Checksum::of_torch_name("net-5891b5b6.pth").unwrap().verify(&path, "remove it").unwrap_err().to_string();
        assert!(wrong.ends_with("its SHA-256 is 5891b5b5, expected 5891b5b6; remove it"), "{wrong}");
    }

    #[test]
    fn names_without_a_checksum() {
        for name in ["net.pth", "net-2024.pth", "net-5891b5g5.pth", "net"] {
            assert_eq!(Checksum::of_torch_name(name), None, "{name}");
        }
        assert_eq!(Checksum::of_etag("xyz"), None);
    }
}
