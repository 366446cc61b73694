//! The libtorch that a user names at run time, in place of the one that the program was built with: `LIBTORCH`, or the torch of the
//! Python environment with `LIBTORCH_USE_PYTORCH=1` (the variables that builds read too). Where none is named and the one of the build is
//! gone, the one beside the program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use repghost_link::version::{version_in, VERSION};

/// Prints where torch lies without importing it, which takes seconds.
const WHERE_IS_TORCH: &str =
    "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')";

/// The variable that the system's loader looks for libraries in.
const SEARCH_PATH: &str = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };

/// The main library's file.
const LIBRARY: &str = if cfg!(target_os = "macos") { "libtorch_cpu.dylib" } else { "libtorch_cpu.so" };

/// Where the program's rpath points: libtorch's libraries when it was built.
const BUILT_WITH: Option<&str> = option_env!("LIBTORCH_LIB_DIR");

/// The loader's variable with the named libtorch in front, or with the one beside the program; `None` where the loader finds one by itself.
///
/// # Errors
/// A line about a folder that is no libtorch, or one of another version, or that there is none.
pub fn search_path(program: &Path) -> Result<Option<(&'static str, OsString)>, String> {
    let built = BUILT_WITH.map(Path::new);
    let (folder, named_by) = match named()? {
        Some(named) => named,
        None if built.is_some_and(holds_libtorch) || on_search_path(std::env::var_os(SEARCH_PATH)) => return Ok(None),
        None => match beside(program) {
            Some(folder) => (folder, "beside the program"),
            None if system_has_one() => return Ok(None),
            None => return Err(nowhere(built, program)),
        },
    };
    let lib = folder.join("lib");
    if !holds_libtorch(&lib) {
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

fn holds_libtorch(lib: &Path) -> bool {
    lib.join(LIBRARY).exists()
}

fn on_search_path(path: Option<OsString>) -> bool {
    path.is_some_and(|path| std::env::split_paths(&path).any(|folder| holds_libtorch(&folder)))
}

/// A folder `libtorch` beside the program, or the `lib` of the tree whose `bin` it lies in.
fn beside(program: &Path) -> Option<PathBuf> {
    let bin = program.parent()?;
    [Some(bin.join("libtorch")), bin.parent().map(Path::to_path_buf)]
        .into_iter()
        .flatten()
        .find(|folder| holds_libtorch(&folder.join("lib")))
}

/// Whether the loader finds one where the system keeps libraries. Loads it, which takes a quarter of a second, so it is tried last.
#[cfg(unix)]
fn system_has_one() -> bool {
    std::ffi::CString::new(LIBRARY).is_ok_and(|name| {
        // SAFETY: libtorch may be loaded at any time; nothing of it is called.
        !unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) }.is_null()
    })
}

/// Elsewhere the loader reports what it misses.
#[cfg(not(unix))]
fn system_has_one() -> bool {
    true
}

fn nowhere(built: Option<&Path>, program: &Path) -> String {
    let before = built.map_or(String::new(), |folder| format!(" It was in {} when this program was built.", folder.display()));
    let bin = program.parent().unwrap_or(Path::new("."));
    format!(
        "libtorch {VERSION} is not found.{before} Set LIBTORCH to the folder of a libtorch {VERSION} or of a pip torch {VERSION}, set \
         LIBTORCH_USE_PYTORCH=1 in the Python environment that has it, or put it into {}",
        bin.join("libtorch").display()
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_libtorch_beside_the_program_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let program = root.join("bin/repghost-det-torch");
        std::fs::create_dir_all(root.join("bin/libtorch/lib")).unwrap();
        std::fs::create_dir_all(root.join("lib")).unwrap();
        assert_eq!(beside(&program), None);
        std::fs::write(root.join("lib").join(LIBRARY), "").unwrap();
        assert_eq!(beside(&program).as_deref(), Some(root));
        std::fs::write(root.join("bin/libtorch/lib").join(LIBRARY), "").unwrap();
        assert_eq!(beside(&program), Some(root.join("bin/libtorch")));
        let path = std::env::join_paths([root.join("none"), root.join("lib")]).unwrap();
        assert!(on_search_path(Some(path)) && !on_search_path(Some(root.join("bin").into())) && !on_search_path(None));
    }

    #[test]
    fn where_there_is_none_the_ways_out_are_named() {
        let line = nowhere(Some(Path::new("/gone/lib")), Path::new("/opt/bin/repghost-det-torch"));
        for part in ["/gone/lib", "LIBTORCH to", "LIBTORCH_USE_PYTORCH=1", "/opt/bin/libtorch", VERSION] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(!line.contains('\n') && !line.contains("  "), "{line}");
    }
}
