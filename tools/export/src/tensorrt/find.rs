//! Where trtexec is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::ExportError;

/// How to get trtexec.
pub const WHERE_IT_COMES_FROM: &str =
    "trtexec comes with TensorRT's Debian/RPM packages (libnvinfer-bin: /usr/src/tensorrt/bin), \
its tar archive, JetPack and NVIDIA's TensorRT containers; the pip wheels do not have it. Put it on the PATH or set TRTEXEC.";

/// A TensorRT version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u32,
    /// Second number.
    pub minor: u32,
    /// Third number.
    pub patch: u32,
}

impl Version {
    /// The version in trtexec's banner, `&&&& RUNNING TensorRT.trtexec [TensorRT v101600] …`. Up to TensorRT 9 the number is
    /// `major * 1000 + minor * 100 + patch`, from 10 on `major * 10000 + minor * 100 + patch`.
    fn from_banner(text: &str) -> Option<Self> {
        let digits = text.split("[TensorRT v").nth(1)?.split(']').next()?;
        let n: u32 = digits.parse().ok()?;
        let unit = if n >= 100_000 { 10_000 } else { 1_000 };
        Some(Self { major: n / unit, minor: n % unit / 100, patch: n % 100 })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The trtexec to use: `TRTEXEC`, then the `PATH`, then the place where Debian's package puts it.
pub fn find_trtexec() -> Option<PathBuf> {
    let named = std::env::var_os("TRTEXEC").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    named
        .into_iter()
        .chain(std::env::split_paths(&path).map(|d| d.join("trtexec")))
        .chain([PathBuf::from("/usr/src/tensorrt/bin/trtexec")])
        .find(|p| p.is_file())
}

/// The version of a trtexec.
///
/// # Errors
/// It cannot be started, or prints no version.
pub fn version(trtexec: &Path) -> Result<Version, ExportError> {
    let output =
        Command::new(trtexec).arg("--help").output().map_err(|source| ExportError::Io { path: trtexec.to_path_buf(), source })?;
    let text = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).join("\n");
    Version::from_banner(&text).ok_or_else(|| ExportError::Format {
        path: trtexec.to_path_buf(),
        why: "printed no TensorRT version; is it trtexec?".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_of_three_generations() {
        let banner = |v: &str| Version::from_banner(&format!("&&&& RUNNING TensorRT.trtexec [TensorRT v{v}] # trtexec --help"));
        assert_eq!(banner("8601"), Some(Version { major: 8, minor: 6, patch: 1 }));
        assert_eq!(banner("101600"), Some(Version { major: 10, minor: 16, patch: 0 }));
        assert_eq!(banner("110100] [b106"), Some(Version { major: 11, minor: 1, patch: 0 }));
        assert_eq!(Version::from_banner("usage: something else"), None);
    }
}
