//! `repghost-det` as people call it: a small program without libtorch.
//!
//! Loading libtorch takes a quarter of a second, and its libraries read some variables while they are loaded. So this program does at
//! once what needs no network (comparing files of detections), and for everything else sets the variables ([`settings`], [`libtorch`]) and
//! becomes `repghost-det-torch`, which lies beside it.

#[path = "../eval_files.rs"]
mod eval_files;
mod libtorch;
#[path = "../printable.rs"]
#[allow(dead_code)] // a part is used here
mod printable;
#[path = "../tables.rs"]
mod tables;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Parser;
use repghost_link::settings;

/// Exit code where a file that the user named cannot be used.
const BAD_INPUT: u8 = 2;

/// The program with libtorch.
const PROGRAM: &str = "repghost-det-torch";

/// The one command that is done here, in the one form that needs no network. Whatever else there is, help included, is the other
/// program's business.
#[derive(Debug, Parser)]
#[command(name = "repghost-det", disable_help_flag = true, disable_help_subcommand = true)]
struct Light {
    #[command(subcommand)]
    command: LightCommand,
    #[arg(long, short, global = true)]
    verbose: bool,
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, clap::Subcommand)]
enum LightCommand {
    Eval(eval_files::Args),
}

fn main() -> ExitCode {
    match Light::try_parse() {
        Ok(Light { command: LightCommand::Eval(args), quiet, .. }) if args.detections.is_some() => eval(&args, quiet),
        _ => become_program(),
    }
}

fn eval(args: &eval_files::Args, quiet: bool) -> ExitCode {
    let mut warn = |text: String| {
        if !quiet {
            let _ = writeln!(std::io::stderr(), "warning: {}", printable::line(&text));
        }
    };
    let text = match eval_files::run(args, &mut warn) {
        Ok(text) => text,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {}", printable::line(&failure.to_string()));
            return ExitCode::from(BAD_INPUT);
        }
    };
    match printable::print(&text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let _ = writeln!(std::io::stderr(), "error: cannot print: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Where the program with libtorch lies.
fn program() -> PathBuf {
    let beside = std::env::current_exe().ok().and_then(|own| own.canonicalize().ok()).map(|own| own.with_file_name(PROGRAM));
    beside.unwrap_or_else(|| PROGRAM.into())
}

fn become_program() -> ExitCode {
    let program = program();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    // Options that may stand before the command have no values.
    let name = arguments.iter().find_map(|a| a.to_str().filter(|a| !a.starts_with('-'))).unwrap_or_default();
    let mut command = Command::new(&program);
    match libtorch::search_path(&program) {
        Ok(variable) => command.envs(variable),
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "error: {message}");
            return ExitCode::from(2);
        }
    };
    command.envs(settings::missing(name)).args(arguments);
    let error = replace(command);
    let _ = writeln!(
        std::io::stderr(),
        "error: {} cannot be started: {error}; it is installed beside repghost-det",
        program.display()
    );
    ExitCode::from(1)
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
