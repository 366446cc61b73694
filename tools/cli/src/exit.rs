//! How the program ends: exit codes and the one line about what went wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use repghost_train::is_bad_input;

/// A run failed.
const FAILED: u8 = 1;
/// The user gave something that cannot be used.
const BAD_INPUT: u8 = 2;
/// Ctrl-C, after what had to be saved was saved.
const INTERRUPTED: u8 = 130;

/// What a command ends with when no error stopped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was done.
    Done,
    /// Stopped by Ctrl-C in good order.
    Interrupted,
    /// Done, but with a finding that must not pass as success (a failed check, a failed trial); it was reported already.
    Failed,
}

/// Clap's own messages: help and version go to stdout and are no errors.
pub fn usage(error: &clap::Error) -> ExitCode {
    // A closed pipe (`repghost-det --help | head -1`) is no error.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { BAD_INPUT } else { 0 })
}

/// Prints the error, if any, and chooses the exit code.
pub fn report(result: anyhow::Result<Outcome>, verbose: bool) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Ok(Outcome::Failed) => ExitCode::from(FAILED),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}", message(&error, verbose));
            ExitCode::from(if is_bad_input(&error) || is_bad_export_input(&error) { BAD_INPUT } else { FAILED })
        }
    }
}

/// What the exporter says about its input. (The trainer, whose errors [`is_bad_input`] knows, does not know the exporter.)
fn is_bad_export_input(error: &anyhow::Error) -> bool {
    error.chain().any(|c| c.downcast_ref::<repghost_export::ExportError>().is_some_and(|e| e.exit_code() == 2))
}

/// The error and its causes in one line. A cause that the text before it already tells is left out.
pub fn message(error: &anyhow::Error, verbose: bool) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        let part = if verbose { part } else { without_stack(&part) };
        if text.is_empty() {
            text = part;
        } else if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
    }
    text
}

/// Libtorch appends twenty lines of C++ stack to its messages; people need the first.
fn without_stack(text: &str) -> String {
    match text.find("\nException raised from").or_else(|| text.find("\nframe #0:")) {
        Some(end) => format!("{} (--verbose shows libtorch's stack)", text[..end].lines().next().unwrap_or_default()),
        None => text.trim_end().to_string(),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|c| c.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}

/// A panic is a bug of ours; the user gets one line and the place, and with RUST_BACKTRACE the stack.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or("no message");
        if text.contains("Broken pipe") {
            std::process::exit(0);
        }
        let place = info.location().map_or(String::new(), |l| format!(" at {}:{}", l.file(), l.line()));
        let _ = writeln!(io::stderr(), "error: internal error{place}: {}", without_stack(text));
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
    fn causes_are_told_once() {
        let inner = io::Error::other("disk full");
        let e = anyhow::Error::from(inner).context("cannot write a.json: disk full").context("while saving");
        assert_eq!(message(&e, false), "while saving: cannot write a.json: disk full");
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
