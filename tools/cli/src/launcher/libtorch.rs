//! The libtorch that a user names at run time, in place of the one that the program was built with: `LIBTORCH`, or the torch of the
//! Python environment with `LIBTORCH_USE_PYTORCH=1` (the variables that builds read too).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use repghost_link::version::{version_in, VERSION};

/// Prints where torch lies without importing it, which takes seconds.
const WHERE_IS_TORCH: &str =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";

/// The variable that the system's loader looks for libraries in.
const SEARCH_PATH: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// The loader's variable with the named libtorch in front; `None` where none is named.
///
/// # Errors
/// A line about a folder that is no libtorch, or one of another version.
pub fn search_path() -> Result<Option<(&'static str, OsString)>, String> {
    let Some((folder, named_by)) = named()? else { return Ok(None) };
    let lib = folder.join("lib");
    if !["libtorch_cpu.so", "libtorch_cpu.dylib"].iter().any(|name| lib.join(name).exists()) {
        return Err(format!(
            "{named_by}: no libtorch in {}: expected the folder of a libtorch {VERSION} or of a pip torch {VERSION}",
            folder.display()
        ));
    }
    match version_in(&folder) {
        Some(found) if found != VERSION => {
            Err(format!("{named_by}: libtorch {found} in {}, but this program is made for {VERSION}", folder.display()))
        }
        _ => Ok(Some((SEARCH_PATH, in_front(&lib)))),
    }
}

fn named() -> Result<Option<(PathBuf, &'static str)>, String> {
    if let Some(folder) = std::env::var_os("LIBTORCH").filter(|f| !f.is_empty()) {
        return Ok(Some((folder.into(), "LIBTORCH")));
    }
    match std::env::var("LIBTORCH_USE_PYTORCH").as_deref() {
        Ok("") | Ok("0") | Err(_) => Ok(None),
        Ok(_) => Ok(Some((python_torch()?, "LIBTORCH_USE_PYTORCH"))),
    }
}

fn python_torch() -> Result<PathBuf, String> {
    // As torch-sys chooses it when it builds.
    let python = if std::env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let output = Command::new(python)
        .args(["-c", WHERE_IS_TORCH])
        .output()
        .map_err(|e| format!("LIBTORCH_USE_PYTORCH: {python} cannot be started: {e}"))?;
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_string();
    if folder.is_empty() {
        return Err(format!(
            "LIBTORCH_USE_PYTORCH: {python} has no torch: activate the environment that has it, or unset the variable"
        ));
    }
    Ok(folder.into())
}

fn in_front(lib: &Path) -> OsString {
    let mut path = lib.as_os_str().to_os_string();
    if let Some(others) = std::env::var_os(SEARCH_PATH).filter(|o| !o.is_empty()) {
        path.push(":");
        path.push(others);
    }
    path
}
