//! MNN and OpenVINO. Both have good Python packages and no Rust crate that follows their releases, so a child process runs them: a Python
//! that has the packages, named by `REPGHOST_PYTHON` or found as `python3`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::plan::RuntimeName;
use super::stats::Runs;
use crate::error::ExportError;

const WORKER: &str = include_str!("worker.py");
/// Names the interpreter.
pub const VARIABLE: &str = "REPGHOST_PYTHON";

/// An interpreter and what it has.
#[derive(Debug)]
pub struct Python {
    program: PathBuf,
    folder: tempfile::TempDir,
    installed: Vec<RuntimeName>,
}

impl Python {
    /// Looks for an interpreter; none where there is none or it has neither package.
    pub fn find() -> Option<Self> {
        let program = std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from("python3"), PathBuf::from);
        let folder = tempfile::tempdir().ok()?;
        std::fs::write(folder.path().join("worker.py"), WORKER).ok()?;
        let mut python = Self { program, folder, installed: vec![] };
        let names = python.run(&["check".into()]).ok()?;
        let has = |r: &RuntimeName| names.split_whitespace().any(|n| n == r.name());
        python.installed = [RuntimeName::Mnn, RuntimeName::Openvino].into_iter().filter(has).collect();
        (!python.installed.is_empty()).then_some(python)
    }

    /// Whether a runtime is there.
    pub fn has(&self, runtime: RuntimeName) -> bool {
        self.installed.contains(&runtime)
    }

    /// Milliseconds of each timed run of an ONNX file on random inputs.
    ///
    /// # Errors
    /// The last line that the runtime printed.
    pub fn time(&self, runtime: RuntimeName, onnx: &[u8], threads: usize, runs: Runs) -> Result<Vec<f64>, ExportError> {
        let file = self.folder.path().join("model.onnx");
        std::fs::write(&file, onnx).map_err(ExportError::io(&file))?;
        let numbers = [threads, runs.warm_up, runs.timed].map(|n| n.to_string());
        let mut arguments = vec![runtime.name().to_string(), file.display().to_string()];
        arguments.extend(numbers);
        let out = self.run(&arguments).map_err(|message| ExportError::Runtime { runtime: runtime.name(), message })?;
        let last = out.lines().last().unwrap_or_default();
        serde_json::from_str(last)
            .map_err(|_| ExportError::Runtime { runtime: runtime.name(), message: format!("printed no times: {last}") })
    }

    fn run(&self, arguments: &[String]) -> Result<String, String> {
        let worker: &Path = &self.folder.path().join("worker.py");
        let out = Command::new(&self.program)
            .arg(worker)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        if out.status.success() {
            return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
        }
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        Err(text.lines().last().unwrap_or("failed without a message").to_string())
    }
}
