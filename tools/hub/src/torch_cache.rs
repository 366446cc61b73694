//! `torch.hub`'s folder of weight files, where torchvision keeps its own.

use std::path::PathBuf;

use crate::checksum::Checksum;
use crate::client::Client;
use crate::download::{download, Wanted};
use crate::environment::Environment;
use crate::error::HubError;
use crate::progress::Progress;
use crate::table::Entry;

/// The file, where it is there.
pub fn find(environment: &Environment, file: &str) -> Option<PathBuf> {
    Some(environment.torch_checkpoints.join(file)).filter(|path| path.is_file())
}

/// Fetches a file.
///
/// # Errors
/// As [`download`].
pub fn fetch(
    environment: &Environment,
    file: &str,
    entry: Option<&Entry>,
    progress: &mut dyn Progress,
) -> Result<PathBuf, HubError> {
    let folder = &environment.torch_checkpoints;
    std::fs::create_dir_all(folder).map_err(HubError::io(folder))?;
    let (path, partial) = (folder.join(file), folder.join(format!("{file}.partial")));
    let url = format!("{}/{file}", environment.torch_endpoint);
    let wanted = Wanted {
        url: &url,
        token: None,
        what: file,
        partial: &partial,
        path: &path,
        size: entry.and_then(|e| e.bytes),
        checksum: Checksum::of_torch_name(file),
    };
    download(&Client::new(environment)?, &wanted, progress)?;
    Ok(path)
}
