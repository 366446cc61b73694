//! Runs the real binary in a fresh folder.
#![allow(dead_code)] // each test file uses its part

pub mod detector;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a run of the binary gave.
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The binary, without variables that would change what it does.
pub fn repghost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_repghost-det"));
    for name in ["RUST_LOG", "RUST_BACKTRACE", "COCO", "ORT_DYLIB_PATH", "TRTEXEC"] {
        command.env_remove(name);
    }
    command
}

/// Runs the binary where the tests run.
pub fn run(args: &[&str]) -> Ran {
    repghost().args(args).output().expect("the binary starts").into()
}

/// Waits until `condition` holds.
///
/// # Panics
/// After a minute.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "no {what} within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Starts a command and kills it as soon as `condition` holds.
///
/// # Panics
/// As [`wait_for`].
pub fn kill_when(command: &mut Command, what: &str, condition: impl FnMut() -> bool) {
    let mut child = command.stdout(Stdio::null()).spawn().expect("the binary starts");
    wait_for(what, condition);
    child.kill().expect("a child is killed");
    child.wait().expect("a child is waited for");
}

/// The root of the project.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("tools/cli lies two folders deep").to_path_buf()
}

/// A fresh folder with files in it.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with `files`: path and text.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    /// Writes a file, with the folders above it.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs the binary in it.
    pub fn run(&self, args: &[&str]) -> Ran {
        repghost().current_dir(self.path()).args(args).output().expect("the binary starts").into()
    }
}
