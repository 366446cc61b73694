//! Images in tar archives, as WebDataset lays them out: `key.jpg` beside `key.cls`, some hundred megabytes an archive ("shard").
//!
//! Wherever a folder of images is expected, shards may be named: one file, a pattern (`train-*.tar`, `train-{000..011}.tar`) or a folder that
//! holds them. An archive's headers are walked once; then an image is read by its offset. A member has the path `SHARD.tar/NAME`, which
//! everything that reads images understands.

mod archive;
mod classes;
mod pattern;
mod write;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use self::archive::Archive;
pub(crate) use self::classes::class_files;
pub use self::classes::NAMES;
pub use self::write::{write_shards, Bytes, Member, ShardsWritten};
use crate::error::DataError;
use crate::unfinished::Unfinished;

/// Archives that are open, by path.
static ARCHIVES: LazyLock<RwLock<HashMap<PathBuf, Arc<Archive>>>> = LazyLock::new(RwLock::default);
/// Sets that are open, by what names them; nothing for a folder of images.
static SETS: LazyLock<Mutex<HashMap<PathBuf, Option<Arc<Shards>>>>> = LazyLock::new(Mutex::default);

/// Shards that make up one folder of images.
#[derive(Debug)]
pub struct Shards {
    archives: Vec<Arc<Archive>>,
    /// The shard of each name.
    place: HashMap<String, usize>,
    /// The whole name for the last part of one, where only one member has it.
    base: HashMap<String, Option<String>>,
}

/// Whether a path names shards rather than a folder of images. A folder whose first archive was never finished does as well: opening it
/// reports that.
pub fn is_shards(path: &Path) -> bool {
    let holds = |folder: &Path| Unfinished::is_marked(folder) || pattern::holds_shards(folder);
    pattern::is_pattern(path) || is_tar(path) && path.is_file() || path.is_dir() && holds(path)
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tar"))
}

fn sets() -> MutexGuard<'static, HashMap<PathBuf, Option<Arc<Shards>>>> {
    SETS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shards {
    /// Opens what [`is_shards`] is true for. Archives that have not changed are walked once in a process.
    ///
    /// # Errors
    /// No archive, one that is damaged or truncated, a name that two members have: with shard and name.
    pub fn open(root: &Path) -> Result<Arc<Self>, DataError> {
        let refuse = |reason: String| Err(DataError::Folder { path: root.into(), reason });
        if Unfinished::is_marked(root) {
            return refuse("is not complete: what wrote it was interrupted; the same command again completes it".into());
        }
        let paths = pattern::expand(root)?;
        if paths.is_empty() {
            return refuse("names no .tar file".into());
        }
        let mut set = Self { archives: vec![], place: HashMap::new(), base: HashMap::new() };
        for path in paths {
            let archive = opened(&path)?;
            let number = set.archives.len();
            for name in archive.names() {
                if let Some(other) = set.place.insert(name.to_string(), number) {
                    let other: &Archive = set.archives.get(other).map_or(&archive, |a| a);
                    return refuse(format!("holds {name:?} twice, in {} and {}", other.path().display(), path.display()));
                }
                let base = name.rsplit('/').next().unwrap_or(name).to_string();
                set.base.entry(base).and_modify(|whole| *whole = None).or_insert_with(|| Some(name.to_string()));
            }
            set.archives.push(archive);
        }
        let set = Arc::new(set);
        sets().insert(root.to_path_buf(), Some(set.clone()));
        Ok(set)
    }

    /// How many shards there are.
    pub fn count(&self) -> usize {
        self.archives.len()
    }

    /// Paths of all members in the order in which they are stored.
    pub fn members(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.archives.iter().flat_map(|archive| archive.names().map(|name| archive.path().join(name)))
    }

    /// The shard of a member's path.
    pub fn shard_of(&self, member: &Path) -> usize {
        self.archives.iter().position(|archive| member.starts_with(archive.path())).unwrap_or(0)
    }

    /// The path of a member by its name, or by the last part of it where only one has that; and the number of its shard.
    pub fn find(&self, name: &str) -> Option<(PathBuf, usize)> {
        let name = name.strip_prefix("./").unwrap_or(name);
        let whole = match self.place.contains_key(name) {
            true => name,
            false => self.base.get(name.rsplit(['/', '\\']).next()?)?.as_deref()?,
        };
        let shard = *self.place.get(whole)?;
        Some((self.archives[shard].path().join(whole), shard))
    }
}

fn opened(path: &Path) -> Result<Arc<Archive>, DataError> {
    let known = ARCHIVES.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
    if let Some(archive) = known.filter(|archive| archive.is_current()) {
        return Ok(archive);
    }
    let archive = Arc::new(Archive::open(path)?);
    ARCHIVES.write().unwrap_or_else(PoisonError::into_inner).insert(path.to_path_buf(), archive.clone());
    Ok(archive)
}

/// The set that a root names, opened where it is not yet; `None` for folders of images.
///
/// # Errors
/// As [`Shards::open`].
pub fn of_root(root: &Path) -> Result<Option<Arc<Shards>>, DataError> {
    if let Some(known) = sets().get(root) {
        return Ok(known.clone());
    }
    if is_shards(root) {
        return Shards::open(root).map(Some);
    }
    sets().insert(root.to_path_buf(), None);
    Ok(None)
}

/// Shards that were opened under a root.
pub(crate) fn known(root: &Path) -> Option<Arc<Shards>> {
    sets().get(root).cloned().flatten()
}

/// The archive and the name of a member's path.
fn member(path: &Path) -> Option<(Arc<Archive>, &str)> {
    // Seldom true, and cheap: images in folders pass here too.
    let text = path.to_str()?;
    let at = text.to_ascii_lowercase().find(".tar/")?;
    let (archive, name) = (&text[..at + ".tar".len()], &text[at + ".tar/".len()..]);
    let archives = ARCHIVES.read().unwrap_or_else(PoisonError::into_inner);
    archives.get(Path::new(archive)).map(|found| (found.clone(), name))
}

/// The bytes of a member by its path; `None` where the path is none of an open archive.
pub(crate) fn read(path: &Path) -> Option<io::Result<Vec<u8>>> {
    let (archive, name) = member(path)?;
    Some(archive.read(name))
}

/// Whether a path is a member of an open archive.
pub(crate) fn is_member(path: &Path) -> bool {
    member(path).is_some_and(|(archive, name)| archive.has(name))
}
