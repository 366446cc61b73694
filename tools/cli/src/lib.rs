//! The command line of repghost-det, for its two programs.
//!
//! | program | entry | what it does |
//! |---|---|---|
//! | `repghost-det` | [`launch`] | parses the arguments, prints help and usage errors, runs the commands that need no network, and becomes the other program for the rest |
//! | `repghost-det-torch` | [`run_with_libtorch`] | runs every command |
//!
//! Loading libtorch takes a quarter of a second, its libraries read some variables while they are loaded, and it may be missing. So nothing that
//! [`launch`] reaches refers to libtorch, and the linker leaves it out of that program (`tests/device.rs` checks it).
//!
//! Layers, as in ripgrep: arguments are parsed into plain data (`Args` structs, one a command), a command turns them into things and
//! runs them, and `exit` decides how that ends.

mod bad_input;
mod commands;
mod cuda;
mod exit;
mod flag_hint;
mod interrupt;
mod launched;
mod launcher;
mod logging;
mod printable;
mod tables;

use clap::Parser;

/// Train, evaluate, fuse and export detectors on RepGhostNet and its rivals.
#[derive(Debug, Parser)]
#[command(name = "repghost-det", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: commands::Command,

    /// More on stderr: debug messages, and libtorch's C++ stack in errors.
    #[arg(long, short, global = true)]
    verbose: bool,

    /// Less on stderr: warnings and errors only.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  repghost-det doctor
  repghost-det config experiments/retinanet.yaml train.epochs=24
  repghost-det help config

Exit codes: 0 done, 1 a run failed, 2 input, settings or a place to write to that cannot be used, 3 below the bar of
--fail-below, 130 interrupted.";

/// Runs what needs no network, and becomes `repghost-det-torch` for everything else.
pub fn launch() -> ! {
    start(|cli| match commands::run_light(cli.command, cli.quiet) {
        Some(result) => exit::report(result, cli.verbose),
        None => launcher::become_program(),
    })
}

/// Runs any command, with libtorch.
pub fn run_with_libtorch() -> ! {
    start(|cli| {
        // No more threads than a container's quota allows, whatever the command.
        repghost_train::runtime::set_threads(None);
        exit::report(commands::run(cli.command, cli.quiet), cli.verbose)
    })
}

/// Parses the arguments and ends with the exit code of `run`, or after clap's message and a hint.
fn start(run: impl FnOnce(Cli) -> u8) -> ! {
    exit::install_panic_hook();
    let code = match Cli::try_parse() {
        Ok(cli) => {
            logging::start(cli.verbose, cli.quiet);
            run(cli)
        }
        Err(error) => {
            let code = exit::usage(&error);
            if let Some(hint) = flag_hint::of(&error) {
                eprintln!("{hint}");
            }
            code
        }
    };
    exit::when_all_is_written(code)
}
