//! An archive's folder, there as a whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use zip::ZipArchive;

use crate::error::HubError;
use crate::progress::Progress;

/// Bytes that are copied at once.
const BLOCK: usize = 1 << 17;

/// Unpacks `archive`, all of whose files lie in `folder`, to `output/folder`. The files go to a folder beside it, which is renamed at the
/// end.
///
/// # Errors
/// A damaged archive, one that has something outside `folder`, a full disk.
pub fn unpack(archive: &Path, folder: &str, output: &Path, progress: &mut dyn Progress) -> Result<(), HubError> {
    let open = File::open(archive).map_err(HubError::io(archive))?;
    let mut zip = ZipArchive::new(io::BufReader::new(open)).map_err(|e| damaged(archive, &e))?;
    let beside = tempfile::Builder::new()
        .prefix(&format!(".{folder}."))
        .suffix(".unpacking")
        .tempdir_in(output)
        .map_err(HubError::io(output))?;
    let total = (0..zip.len()).map(|i| zip.by_index_raw(i).map_or(0, |entry| entry.size())).sum();
    progress.start(&format!("unpacking {folder}"), Some(total), 0);
    let outcome = (0..zip.len()).try_for_each(|number| {
        let mut entry = zip.by_index(number).map_err(|e| damaged(archive, &e))?;
        let inside = entry.enclosed_name().filter(|path| path.starts_with(folder));
        let Some(inside) = inside else {
            return Err(damaged(archive, &format!("{} is not in {folder}/", entry.name())));
        };
        let path = beside.path().join(inside);
        if entry.is_dir() {
            return std::fs::create_dir_all(&path).map_err(HubError::io(&path));
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(HubError::io(parent))?;
        }
        copy(archive, &mut entry, &path, progress)
    });
    progress.end();
    outcome?;
    let (from, to) = (beside.path().join(folder), output.join(folder));
    std::fs::rename(&from, &to).map_err(HubError::io(&to))
}

/// The archive's own checksum is compared when the last byte was read.
fn copy(archive: &Path, from: &mut impl Read, path: &Path, progress: &mut dyn Progress) -> Result<(), HubError> {
    let mut to = File::create(path).map_err(HubError::io(path))?;
    let mut block = vec![0; BLOCK];
    loop {
        match from.read(&mut block).map_err(|e| damaged(archive, &e))? {
            0 => return Ok(()),
            n => {
                to.write_all(&block[..n]).map_err(HubError::io(path))?;
                progress.advance(n as u64);
            }
        }
    }
}

fn damaged(archive: &Path, problem: &dyn std::fmt::Display) -> HubError {
    HubError::Archive { path: archive.into(), problem: format!("cannot be unpacked: {problem}") }
}
