//! Writing shards.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::files::write_atomic;
use crate::unfinished::Unfinished;

/// A file to be stored.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name in the archive.
    pub name: String,
    /// Where its bytes are.
    pub bytes: Bytes,
}

/// Bytes of a member.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// Those of a file.
    File(PathBuf),
    /// These.
    Text(String),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardsWritten {
    /// Archives.
    pub shards: usize,
    /// Members.
    pub members: usize,
    /// Bytes of all archives.
    pub bytes: u64,
}

/// Writes members in their order into `shard-000000.tar`, … of at most `size` bytes (a larger group goes alone). The members of an inner list
/// stay together. The folder is marked until all are there; the same call again goes on.
///
/// # Errors
/// A folder that holds something else, files that cannot be read, the disk's.
pub fn write_shards(
    folder: &Path,
    groups: &[Vec<Member>],
    size: u64,
    recipe: &str,
    progress: &dyn Fn(usize, usize),
) -> Result<ShardsWritten, DataError> {
    let unfinished = Unfinished::begin(folder, recipe)?;
    let mut written = ShardsWritten::default();
    let mut builder = tar::Builder::new(Vec::new());
    let finish = |builder: tar::Builder<Vec<u8>>, written: &mut ShardsWritten| {
        let path = folder.join(format!("shard-{:06}.tar", written.shards));
        let failed = |source| DataError::Write { path: path.clone(), source };
        let bytes = builder.into_inner().map_err(failed)?;
        write_atomic(&path, &bytes).map_err(failed)?;
        written.shards += 1;
        written.bytes += bytes.len() as u64;
        Ok::<_, DataError>(())
    };
    for (done, group) in groups.iter().enumerate() {
        let mut loaded = Vec::with_capacity(group.len());
        for member in group {
            let bytes = match &member.bytes {
                Bytes::File(path) => crate::decode::read_bytes(path)?,
                Bytes::Text(text) => text.clone().into_bytes(),
            };
            loaded.push((member.name.as_str(), bytes));
        }
        // A header and padding to whole blocks of 512 bytes.
        let length: u64 = loaded.iter().map(|(_, bytes)| 512 + (bytes.len() as u64).next_multiple_of(512)).sum();
        let held = builder.get_ref().len() as u64;
        if held > 0 && held + length > size {
            finish(std::mem::replace(&mut builder, tar::Builder::new(Vec::new())), &mut written)?;
        }
        for (name, bytes) in loaded {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_cksum();
            let failed = |source| DataError::Write { path: folder.join(name), source };
            builder.append_data(&mut header, name, bytes.as_slice()).map_err(failed)?;
            written.members += 1;
        }
        progress(done + 1, groups.len());
    }
    if !builder.get_ref().is_empty() {
        finish(builder, &mut written)?;
    }
    unfinished.complete()?;
    Ok(written)
}
