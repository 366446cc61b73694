//! How `repghost-det` becomes `repghost-det-torch`, which lies beside it: with the variables that libtorch's libraries read while they are loaded
//! ([`settings`]), and with the folder of libtorch ([`libtorch`]).

mod libtorch;

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use repghost_link::settings;

use crate::exit::{BAD_INPUT, FAILED};

/// The program with libtorch.
const PROGRAM: &str = "repghost-det-torch";

/// Where the program with libtorch lies.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|own| own.canonicalize().ok()).map(|own| own.with_file_name(PROGRAM));
    beside.unwrap_or_else(|| PROGRAM.into())
}

/// Becomes the program with libtorch; returns an exit code where that fails.
pub fn become_program() -> u8 {
    let program = program();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Options that may stand before the command have no values.
    let name = arguments.iter().find_map(|a| a.to_str().filter(|a| !a.starts_with('-'))).unwrap_or_default();
    let mut command = Command::new(&program);
    match libtorch::search_path(&program) {
        Ok(variable) => command.envs(variable),
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "error: {message}");
            return BAD_INPUT;
        }
    };
    command.envs(settings::missing(name)).args(arguments);
    let error = replace(command);
    let _ = writeln!(
        std::io::stderr(),
        "error: {} cannot be started: {error}; it is installed beside repghost-det",
        program.display()
    );
    FAILED
}

/// Only comes back with an error.
#[cfg(unix)]
fn replace(mut command: Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.arg0("repghost-det").exec()
}

/// Where a program cannot be replaced it is waited for.
#[cfg(not(unix))]
fn replace(mut command: Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
