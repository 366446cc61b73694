//! OpenVINO and MNN. Both have good Python packages and no Rust crate that follows their releases, so a child process runs them: a Python
//! that has the packages, named by `REPGHOST_PYTHON` or found as `python3`.
//!
//! A request is a line of JSON (the inputs' shapes and how often to run), then the inputs' bytes; a reply is a line of JSON (times, or the
//! outputs' names, shapes and types), then the outputs' bytes. All numbers are little-endian.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use super::session::{Data, Input, Runs, Session, Settings, Take};
use crate::error::ExportError;
use crate::metadata;

const WORKER: &str = include_str!("worker.py");
/// What the child prints besides replies.
const LOG: &str = "log.txt";
/// Names the interpreter.
pub const VARIABLE: &str = "REPGHOST_PYTHON";

fn program() -> PathBuf {
    std::env::var_os(VARIABLE).map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

/// Names of the runtimes that the interpreter has, separated by spaces; empty without an interpreter.
fn installed() -> &'static str {
    static INSTALLED: OnceLock<String> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let out = Command::new(program()).args(["-c", WORKER, "check"]).stdin(Stdio::null()).output();
        out.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).into_owned())
    })
}

fn check(runtime: &'static str) -> Result<(), ExportError> {
    if installed().split_whitespace().any(|name| name == runtime) {
        return Ok(());
    }
    let missing = format!("pip install {runtime}, or name a Python that has it in {VARIABLE}");
    Err(ExportError::NoRuntime { runtime, missing })
}

/// Whether OpenVINO is there.
///
/// # Errors
/// How to get it.
pub fn check_openvino() -> Result<(), ExportError> {
    check("openvino")
}

/// Whether MNN is there.
///
/// # Errors
/// How to get it.
pub fn check_mnn() -> Result<(), ExportError> {
    check("mnn")
}

/// Loads a file in OpenVINO.
///
/// # Errors
/// No interpreter; the last line of the runtime's message.
pub fn open_openvino(bytes: &[u8], settings: Settings) -> Result<Box<dyn Session + Send>, ExportError> {
    Ok(Box::new(PythonSession::open("openvino", bytes, settings)?))
}

/// Converts a file for MNN and loads it.
///
/// # Errors
/// As [`open_openvino`].
pub fn open_mnn(bytes: &[u8], settings: Settings) -> Result<Box<dyn Session + Send>, ExportError> {
    Ok(Box::new(PythonSession::open("mnn", bytes, settings)?))
}

#[derive(Serialize)]
struct Request<'a> {
    /// Names and shapes.
    inputs: Vec<(&'a str, &'a [i64])>,
    /// Untimed and timed runs; none where outputs are asked for.
    runs: Option<[usize; 2]>,
}

#[derive(Deserialize)]
struct Reply {
    #[serde(default)]
    times: Vec<f64>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    shape: Vec<i64>,
    integer: bool,
}

/// A child that holds one loaded file.
struct PythonSession {
    runtime: &'static str,
    /// Names of the file's inputs.
    inputs: Vec<String>,
    child: Child,
    /// Taken when the session ends: the child ends with its input.
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
    /// The file, what the child writes beside it, and its log.
    folder: tempfile::TempDir,
}

impl PythonSession {
    fn open(runtime: &'static str, bytes: &[u8], settings: Settings) -> Result<Self, ExportError> {
        check(runtime)?;
        let folder = tempfile::tempdir().map_err(ExportError::io("temporary folder"))?;
        let file = folder.path().join("model.onnx");
        std::fs::write(&file, bytes).map_err(ExportError::io(&file))?;
        let graph = metadata::decode(&file, bytes)?.graph.unwrap_or_default();
        let inputs = graph.input.into_iter().filter_map(|i| i.name).collect();
        let outputs: Vec<String> = graph.output.into_iter().filter_map(|o| o.name).collect();
        let log = folder.path().join(LOG);
        let log = std::fs::File::create(&log).map_err(ExportError::io(&log))?;
        let mut child = Command::new(program())
            .args(["-c", WORKER, runtime])
            .arg(&file)
            .arg(settings.threads.to_string())
            .arg(serde_json::to_string(&outputs).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(ExportError::io(program()))?;
        let failure = || ExportError::Runtime { runtime, message: "the child has no pipes".into() };
        let requests = child.stdin.take().ok_or_else(failure)?;
        let replies = BufReader::new(child.stdout.take().ok_or_else(failure)?);
        Ok(Self { runtime, inputs, child, requests: Some(requests), replies, folder })
    }

    fn request(&mut self, inputs: &[Input], runs: Option<[usize; 2]>) -> std::io::Result<Reply> {
        let out = self.requests.as_mut().ok_or(std::io::ErrorKind::BrokenPipe)?;
        let named = self.inputs.iter().map(String::as_str).zip(inputs.iter().map(|i| i.shape));
        let request = Request { inputs: named.collect(), runs };
        serde_json::to_writer(&mut *out, &request)?;
        out.write_all(b"\n")?;
        for input in inputs {
            let bytes: Vec<u8> = input.values.iter().flat_map(|v| v.to_le_bytes()).collect();
            out.write_all(&bytes)?;
        }
        out.flush()?;
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// The last line that the child printed, or why it cannot be reached.
    fn failure(&mut self, e: &std::io::Error) -> ExportError {
        drop(self.requests.take());
        let _ = self.child.wait();
        let text = std::fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().find(|l| !l.trim().is_empty());
        ExportError::Runtime { runtime: self.runtime, message: last.map_or_else(|| e.to_string(), str::to_string) }
    }

    fn outputs(&mut self, outputs: &[Output], take: Take) -> std::io::Result<()> {
        for output in outputs {
            let count = output.shape.iter().product::<i64>() as usize;
            let width = if output.integer { 8 } else { 4 };
            let mut bytes = vec![0; count * width];
            self.replies.read_exact(&mut bytes)?;
            if output.integer {
                let values: Vec<i64> =
                    bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap_or_default())).collect();
                take(&output.name, &output.shape, Data::Int(&values));
            } else {
                let values: Vec<f32> =
                    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap_or_default())).collect();
                take(&output.name, &output.shape, Data::Float(&values));
            }
        }
        Ok(())
    }
}

impl Session for PythonSession {
    fn run(&mut self, inputs: &[Input], take: Take) -> Result<(), ExportError> {
        let reply = self.request(inputs, None).map_err(|e| self.failure(&e))?;
        self.outputs(&reply.outputs, take).map_err(|e| self.failure(&e))
    }

    /// By the child's own clock, without the pipes.
    fn time(&mut self, inputs: &[Input], runs: Runs) -> Result<Vec<f64>, ExportError> {
        Ok(self.request(inputs, Some([runs.warm_up, runs.timed])).map_err(|e| self.failure(&e))?.times)
    }
}

impl Drop for PythonSession {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}
