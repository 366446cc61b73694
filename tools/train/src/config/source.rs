//! The text of an experiment file: from disk, or built in.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::built_in;

/// Longer files are refused: no experiment is that long, and a wrong file should not fill the memory.
const MAX_BYTES: u64 = 8 << 20;

/// A file that was found.
#[derive(Debug)]
pub(super) struct Source {
    /// Its path for messages, and for the bases that it names.
    pub shown: PathBuf,
    /// What is the same for the same file.
    pub identity: PathBuf,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// Opens a file on disk, else the built-in one of that name.
    ///
    /// # Errors
    /// What the system reports; what is no regular file, or longer than 8 MiB.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match path.canonicalize().and_then(|identity| Ok((read(path)?, identity))) {
            Ok((text, identity)) => Ok(Self { shown: path.to_path_buf(), identity, text }),
            Err(error) => Self::built_in(path).ok_or(error),
        }
    }

    /// Opens a base that `self` names: relative to it, or built in. Bases of built-in files are built in.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub(super) fn open_base(&self, base: &Path) -> (PathBuf, io::Result<Self>) {
        let path = tidy(&self.shown.parent().unwrap_or(Path::new("")).join(base));
        let own = built_in::find(&self.shown).is_some_and(|file| file.shown == self.identity);
        let source = match own {
            true => Self::built_in(&path).ok_or_else(|| io::ErrorKind::NotFound.into()),
            false => Self::open(&path).or_else(|error| Self::built_in(base).ok_or(error)),
        };
        (path, source)
    }

    fn built_in(path: &Path) -> Option<Self> {
        let file = built_in::find(&tidy(path))?;
        Some(Self { identity: file.shown.clone(), shown: file.shown, text: file.text.to_string() })
    }
}

fn read(path: &Path) -> io::Result<String> {
    refuse_named_pipe(path)?;
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut text = String::new();
    // Also for pipes (`<(…)` of a shell), which have no length.
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    match text.len() as u64 > MAX_BYTES {
        true => Err(io::Error::other("it is longer than 8 MiB, so it is no experiment file")),
        false => Ok(text),
    }
}

/// A named pipe without a writer would be waited for. Pipes of a shell (`<(…)`), which lie in `/dev/fd`, have one.
#[cfg(unix)]
fn refuse_named_pipe(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    if std::fs::symlink_metadata(path)?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a named pipe; save it as a file"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_named_pipe(_: &Path) -> io::Result<()> {
    Ok(())
}

/// `a/b/../c` to `a/c`; links are not looked at.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}
