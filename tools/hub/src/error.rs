//! Why a name gives no file: each one line that names it and what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why weights or a data set are not at hand.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// A name that the table does not have.
    #[error("{name}: no published weights are known by this name{hint}")]
    Unknown {
        /// The name.
        name: String,
        /// `; did you mean …?`, or where the names are listed.
        hint: String,
    },
    /// `hf:` without repository or file, `torch:` without file.
    #[error("{name}: expected hf:ORG/NAME/FILE, hf:ORG/NAME/FILE@REVISION or torch:FILE")]
    Malformed {
        /// What was given.
        name: String,
    },
    /// Not in the caches, and nothing may be fetched.
    #[error("{name}: not in {}, and {variable} forbids to fetch it; fetch it once without that variable, or name a file", looked.display())]
    Offline {
        /// The name.
        name: String,
        /// The folder in which it would be.
        looked: PathBuf,
        /// The variable that is set.
        variable: &'static str,
    },
    /// The server refuses.
    #[error("{url}: the server answers {status}{hint}")]
    Status {
        /// What was asked for.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it means here, or nothing.
        hint: &'static str,
    },
    /// The server's answer lacks what is needed.
    #[error("{url}: {problem}; does HF_ENDPOINT name a mirror of the hub?")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is missing or odd.
        problem: String,
    },
    /// No connection, or one that broke.
    #[error("{url}: {reason}; {kept}check the connection, HTTPS_PROXY and HF_ENDPOINT, or name a file that is on this machine")]
    Network {
        /// What was asked for.
        url: String,
        /// What went wrong.
        reason: String,
        /// What is kept for another try, or nothing.
        kept: String,
    },
    /// A file that is not what was published.
    #[error("{}: its {kind} is {found}, expected {expected}; {advice}", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Name of the checksum, or `size`.
        kind: &'static str,
        /// What was published.
        expected: String,
        /// What the file has.
        found: String,
        /// What was done, or what to do.
        advice: &'static str,
    },
    /// An archive that cannot be unpacked.
    #[error("{}: {problem}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
}

impl HubError {
    /// Puts a path to an error of the system.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.into(), source }
    }
}
