//! Starts the program again, in the same process, with the variables that libtorch's libraries read before `main`.

use repghost_train::runtime::missing_settings;

/// Does nothing where all are set (so the second time), and goes on without where the system cannot restart.
#[cfg(unix)]
pub fn with_settings() {
    use std::os::unix::process::CommandExt;

    let missing = missing_settings();
    if missing.is_empty() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // Only comes back with an error.
    let _ = command.args(arguments).envs(missing).exec();
}

/// There is no such call elsewhere.
#[cfg(not(unix))]
pub fn with_settings() {}
