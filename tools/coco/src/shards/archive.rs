//! One archive: its members' names, offsets and lengths.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::DataError;

/// Longest name of a member.
const MAX_NAME: usize = 4096;
/// Members of an archive at most.
const MAX_MEMBERS: usize = 50_000_000;

/// An open archive.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    file: File,
    state: (u64, Option<SystemTime>),
    names: Vec<String>,
    places: HashMap<String, [u64; 2]>,
}

fn state(file: &File) -> io::Result<(u64, Option<SystemTime>)> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

impl Archive {
    /// Walks the headers.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let failed = |source| DataError::Read { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let state = state(&file).map_err(failed)?;
        let (mut names, mut places) = (Vec::new(), HashMap::new());
        let mut last = "its start".to_string();
        let broken = |last: &str, reason: String| DataError::Folder {
            path: path.into(),
            reason: format!("is damaged behind {last}: {reason}"),
        };
        let mut archive = tar::Archive::new(BufReader::new(File::open(path).map_err(failed)?));
        for entry in archive.entries_with_seek().map_err(failed)? {
            let entry = entry.map_err(|e| broken(&last, e.to_string()))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name = entry.path().map_err(|e| broken(&last, e.to_string()))?.to_string_lossy().into_owned();
            let name = name.strip_prefix("./").unwrap_or(&name).to_string();
            if name.is_empty() || name.len() > MAX_NAME || names.len() >= MAX_MEMBERS {
                return Err(broken(&last, "a name that is empty or too long, or too many members".into()));
            }
            let place = [entry.raw_file_position(), entry.size()];
            if place[0].checked_add(place[1]).is_none_or(|end| end > state.0) {
                return Err(broken(&last, format!("{name:?} is cut off: the file is shorter than its header says")));
            }
            last = format!("{name:?}");
            if places.insert(name.clone(), place).is_some() {
                return Err(DataError::Folder { path: path.into(), reason: format!("holds {name:?} twice") });
            }
            names.push(name);
        }
        Ok(Self { path: path.into(), file, state, names, places })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is what it was when it was opened.
    pub fn is_current(&self) -> bool {
        File::open(&self.path).and_then(|file| state(&file)).is_ok_and(|now| now == self.state)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let [offset, length] = *self.places.get(name).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        read_at(&self.file, &mut bytes, offset)?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn read_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    let mut own = file.try_clone()?;
    own.seek(SeekFrom::Start(offset))?;
    own.read_exact(bytes)
}
