//! Compiled kernels on disk: `<cache>/repghost-det/kernels/<architecture>-<hash of source and options>.cubin`.
//!
//! `<cache>` is `XDG_CACHE_HOME` or `~/.cache`. A file that can't be read or written costs a second of compiling, so nothing here is an
//! error.

use std::hash::Hasher;
use std::path::{Path, PathBuf};

/// First bytes of machine code: it is an ELF file.
const MAGIC: &[u8] = b"\x7fELF";

/// 64 bits of FNV-1a, which any build of this program computes alike.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

/// What the machine code depends on.
pub(super) struct Key<'a> {
    pub text: &'a str,
    /// Version of the compiler.
    pub compiler: &'a str,
    pub options: &'a [String],
    pub arch: &'a str,
}

impl Key<'_> {
    fn file(&self) -> String {
        let mut hash = Fnv(0xCBF2_9CE4_8422_2325);
        hash.write(self.text.as_bytes());
        hash.write(self.compiler.as_bytes());
        self.options.iter().for_each(|option| hash.write(option.as_bytes()));
        format!("{}-{:016x}.cubin", self.arch, hash.finish())
    }
}

/// The user's folder for compiled kernels; `None` without a home folder.
pub(super) fn folder() -> Option<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|v| !v.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    Some(base.join("repghost-det/kernels"))
}

/// The machine code from `folder`, or from `compile`, which then is kept there.
pub(super) fn cached<E>(folder: Option<&Path>, key: &Key, compile: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
    let path = folder.map(|folder| folder.join(key.file()));
    if let Some(bytes) = path.as_ref().and_then(|path| std::fs::read(path).ok()).filter(|bytes| bytes.starts_with(MAGIC)) {
        return Ok(bytes);
    }
    let bytes = compile()?;
    if let Some(path) = path {
        // Another process compiles it again, which is no harm.
        let _ = write(&path, &bytes);
    }
    Ok(bytes)
}

/// Writes beside the file and renames, so that another process never reads half of it.
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let part = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&part, bytes)?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { text: "kernel", compiler: "13.0", options: &[], arch: "sm_90" };

    fn get(folder: &Path, key: &Key, code: Result<&[u8], &'static str>) -> Result<Vec<u8>, &'static str> {
        cached(Some(folder), key, || code.map(<[u8]>::to_vec))
    }

    #[test]
    fn compiles_once_per_key() {
        let dir = std::env::temp_dir().join(format!("repghost_kernels_cache.{}", std::process::id()));
        let code = b"\x7fELF code";
        assert_eq!(get(&dir, &KEY, Err("no compiler")), Err("no compiler"));
        assert_eq!(get(&dir, &KEY, Ok(code)).unwrap(), code);
        assert_eq!(get(&dir, &KEY, Err("not called")).unwrap(), code);
        for other in [Key { text: "kerneL", ..KEY }, Key { compiler: "13.1", ..KEY }, Key { arch: "sm_80", ..KEY }] {
            assert_eq!(get(&dir, &other, Err("compiled anew")), Err("compiled anew"));
        }
        // A damaged file is replaced.
        std::fs::write(dir.join(KEY.file()), b"damaged").unwrap();
        assert_eq!(get(&dir, &KEY, Ok(b"\x7fELF new")).unwrap(), b"\x7fELF new");
        assert_eq!(std::fs::read(dir.join(KEY.file())).unwrap(), b"\x7fELF new");
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1, "no part files stay");
        std::fs::remove_dir_all(&dir).unwrap();
        // Without a folder it is compiled each time.
        assert_eq!(cached(None, &KEY, || Ok::<_, ()>(vec![1])), Ok(vec![1]));
    }
}
