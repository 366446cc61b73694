//! How the program ends: exit codes and the one line about what went wrong.

use std::io::{self, Write};

use repghost_distributed::DistributedError;
use repghost_export::ExportError;
use repghost_train::error::{RunFolderProblem, TrainError};

use crate::bad_input::is_bad_input;
use crate::launched;
use crate::printable;

/// Everything was done.
const DONE: u8 = 0;
/// A run failed.
pub const FAILED: u8 = 1;
/// A file, setting or place to write to that the user named cannot be used.
pub const BAD_INPUT: u8 = 2;
/// Done, but a number is below the bar that the user set.
const BELOW_BAR: u8 = 3;
/// Ctrl-C, after what had to be saved was saved.
pub const INTERRUPTED: u8 = 130;
/// A process of `--nproc` lost the others; the one that started it prints why.
pub const LOST: u8 = 71;

/// What a command ends with when no error stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Stopped by Ctrl-C in good order.
    Interrupted,
    /// Done, but with a finding that must not pass as success (a failed check, a failed trial); it was reported already.
    Failed,
    /// Input that cannot be used; it was reported already.
    BadInput,
    /// Done, and a number is below the bar that the user set (`--fail-below`); it was reported already.
    BelowBar,
}

/// Clap's own messages: help and version go to stdout and are no errors.
pub fn usage(error: &clap::Error) -> u8 {
    // A closed pipe (`repghost-det --help | head -1`) is no error.
    let _ = error.print();
    if error.use_stderr() {
        BAD_INPUT
    } else {
        DONE
    }
}

/// Ends the process once everything is written. libtorch's destructors take 0.2 s and do nothing for a process that ends, so they are left
/// out; what Rust buffers is flushed first.
pub fn when_all_is_written(code: u8) -> ! {
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
    at_once(code)
}

/// Ends the process without a destructor or exit handler: threads may be at work, and what they use must not be torn down under them.
pub fn at_once(code: u8) -> ! {
    #[cfg(unix)]
    // SAFETY: `_exit` may be called at any time, from any thread.
    unsafe {
        libc::_exit(code.into())
    }
    #[cfg(not(unix))]
    std::process::exit(code.into())
}

/// Prints the error, if any, and chooses the exit code.
pub fn report(result: anyhow::Result<Outcome>, verbose: bool) -> u8 {
    match result {
        Ok(Outcome::Done) => DONE,
        Ok(Outcome::Interrupted) => INTERRUPTED,
        Ok(Outcome::Failed) => FAILED,
        Ok(Outcome::BadInput) => BAD_INPUT,
        Ok(Outcome::BelowBar) => BELOW_BAR,
        Err(error) if launched::launched() && is_lost(&error) => LOST,
        Err(error) if launched::is_silent() => code_of(&error),
        Err(error) if is_broken_pipe(&error) => DONE,
        Err(error) => {
            let text = message(&error, verbose);
            // With --verbose libtorch's stack has a line for each frame.
            let text = match verbose {
                true => printable::escaped(&text).into_owned(),
                false => printable::lines(&text),
            };
            let _ = writeln!(io::stderr(), "error: {text}");
            code_of(&error)
        }
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    if is_bad_input(error) {
        BAD_INPUT
    } else {
        FAILED
    }
}

fn is_lost(error: &anyhow::Error) -> bool {
    let lost = |e: &DistributedError| matches!(e, DistributedError::Lost { .. });
    error.chain().any(|cause| {
        cause.downcast_ref::<DistributedError>().is_some_and(lost)
            || matches!(cause.downcast_ref::<TrainError>(), Some(TrainError::Distributed(e)) if lost(e))
    })
}

/// The error and its causes in one line. A cause that the text before it already has is left out.
pub fn message(error: &anyhow::Error, verbose: bool) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = as_typed(cause);
        let part = if verbose { part } else { out_of_memory(&part).unwrap_or_else(|| without_stack(&part)) };
        if text.is_empty() {
            text = part;
        } else if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

/// An error of the exporter about an option or a missing runtime.
fn of_export(e: &ExportError) -> Option<String> {
    match e {
        // The field `fused` is the flag's opposite.
        ExportError::Option { option: "fused", why, .. } => Some(format!("--unfused: {why}")),
        ExportError::RuntimeMissing { .. } => Some(format!("{e}, or run `make setup`")),
        ExportError::ParityDetections { .. } => {
            Some(e.to_string().replace("nms_rounds", "--nms-rounds").replace("nms onnx", "--nms onnx"))
        }
        _ => e.option().map(|_| format!("--{e}")),
    }
}

/// An error in the words of the command line: fields of library calls become flags, and what to type next is appended.
fn as_typed(cause: &(dyn std::error::Error + 'static)) -> String {
    if let Some(text) = cause.downcast_ref::<ExportError>().and_then(of_export) {
        return text;
    }
    let text = cause.to_string();
    let training = cause.downcast_ref::<TrainError>().or_else(|| match cause.downcast_ref::<ExportError>() {
        Some(ExportError::Model(e)) => Some(e),
        _ => None,
    });
    match training {
        Some(TrainError::Argument { field, .. }) => format!("--{}{}", field.replace('_', "-"), &text[field.len()..]),
        Some(TrainError::RunFolder { problem: RunFolderProblem::NotEmpty, .. }) => {
            text + "; --resume continues its run, another --run-dir starts a new one"
        }
        Some(TrainError::RunFolder { problem: RunFolderProblem::OtherExperiment { .. }, .. }) => {
            text + " (--run-dir names another folder)"
        }
        Some(TrainError::RunFolder { problem: RunFolderProblem::NoTable { .. }, .. }) => {
            text + "; `repghost-det sweep FILE --table-only` writes it"
        }
        Some(TrainError::NotAClassifier { .. }) => text + "; `repghost-det weights inspect` shows what it holds",
        Some(TrainError::SourceForTask { expected: "image_folder", .. }) => {
            text + "; `repghost-det data crops` makes one from a detection set"
        }
        Some(TrainError::Device { .. }) => text + "; --device cpu takes the CPU, --device auto what there is",
        _ => text,
    }
}

/// Libtorch appends twenty lines of C++ stack to its messages; people need the first.
fn without_stack(text: &str) -> String {
    match text.find("\nException raised from").or_else(|| text.find("\nframe #0:")) {
        Some(end) => format!("{} (--verbose shows libtorch's stack)", text[..end].lines().next().unwrap_or_default()),
        None => text.trim_end().to_string(),
    }
}

/// What to do where a card is full; libtorch's own message advises about its allocator.
fn out_of_memory(text: &str) -> Option<String> {
    let at = text.find("CUDA out of memory")?;
    let sentences: Vec<&str> = text[at..].lines().next().unwrap_or_default().split(". ").take(3).collect();
    Some(format!(
        "{}; a smaller train.batch_size with a larger train.accumulate, train.precision: bf16 or smaller images need less",
        sentences.join(". ").trim_end_matches('.')
    ))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|c| c.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// A panic is a bug of ours; the user gets one line and the place, and with RUST_BACKTRACE the stack.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no message");
        // The writer of TensorBoard's events panics in its own thread where it cannot write; the run notices, warns and goes on.
        if info.location().is_some_and(|l| l.file().contains("tensorboard-rs")) {
            return;
        }
        if text.contains("Broken pipe") {
            at_once(DONE);
        }
        if let Some(line) = out_of_memory(text) {
            let _ = writeln!(io::stderr(), "error: {line}");
            at_once(FAILED);
        }
        let place = info.location().map_or(String::new(), |l| format!(" at {}:{}", l.file(), l.line()));
        let _ = writeln!(io::stderr(), "error: internal error{place}: {}", printable::line(&without_stack(text)));
        if std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0") {
            let _ = writeln!(io::stderr(), "{}", std::backtrace::Backtrace::force_capture());
        }
    }));
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn fields_become_flags() {
        let problem = || TrainError::Argument { field: "score_threshold", problem: "expected a number".into() };
        for error in [anyhow::Error::from(problem()), ExportError::Model(problem()).into()] {
            assert_eq!(message(&error, false), "--score-threshold: expected a number");
        }
        let used = TrainError::RunFolder { path: "runs/a".into(), problem: RunFolderProblem::NotEmpty };
        assert!(message(&used.into(), false).contains("--resume"));
    }

    #[test]
    fn a_full_card_is_one_line_of_advice() {
        let torch = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.5 GiB is free. \
                     Including non-PyTorch memory, this process has 77 GiB memory in use.\nException raised from malloc at x.cpp:1";
        let e = anyhow::Error::from(io::Error::other(torch));
        let line = message(&e, false);
        assert!(
            line.starts_with("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has") && line.contains("train.batch_size")
        );
        assert!(!line.contains('\n') && !line.contains("PyTorch"), "{line}");
    }

    #[test]
    fn causes_are_printed_once() {
        let inner = io::Error::other("disk full");
        let e = anyhow::Error::from(inner).context("cannot write a.json: disk full").context("while saving");
        assert_eq!(message(&e, false), "while saving: cannot write a.json: disk full");
    }

    #[test]
    fn options_of_libraries_are_flags() {
        use repghost_export::ExportError;
        let e = ExportError::Option { option: "size", value: "3,4".into(), why: "too small".into() };
        assert_eq!(message(&anyhow::Error::from(e).context("exporting"), false), "exporting: --size 3,4: too small");
        let e = ExportError::Option { option: "fused", value: "false".into(), why: "folded already".into() };
        assert_eq!(message(&e.into(), false), "--unfused: folded already");
        let e = ExportError::NoRuntime { runtime: "mnn", missing: "pip install mnn".into() };
        assert_eq!(message(&e.into(), false), "--runtime mnn: pip install mnn");
        let e = ExportError::RuntimeMissing { looked: "a".into() };
        assert!(message(&e.into(), false).ends_with("or run `make setup`"));
        let e = ExportError::Plan { key: "batch", why: "empty".into() };
        assert_eq!(message(&e.into(), false), "batch: empty");
    }

    #[test]
    fn libtorch_stacks_are_cut_unless_verbose() {
        let torch = "shapes do not match\nException raised from check at x.cpp:1\nframe #0: a\nframe #1: b";
        let e = Err::<(), _>(io::Error::other(torch)).context("step 3").unwrap_err();
        assert_eq!(message(&e, false), "step 3: shapes do not match (--verbose shows libtorch's stack)");
        assert!(message(&e, true).contains("frame #1"));
    }

    #[test]
    fn broken_pipes_are_found_below_context() {
        let e = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe)).context("printing");
        assert!(is_broken_pipe(&e));
        assert!(!is_broken_pipe(&anyhow::Error::from(io::Error::other("x"))));
    }
}
