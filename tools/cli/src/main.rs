//! `repghost-det-torch`: the command line, which people start through the launcher, `repghost-det`.
//!
//! Layers, as in ripgrep: arguments are parsed into plain data (`args` structs, one a command), a command turns them into things and
//! runs them, and [`exit`] decides how that ends.

mod bad_input;
mod commands;
mod cuda;
mod eval_files;
mod exit;
mod flag_hint;
mod interrupt;
mod launched;
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

fn main() {
    exit::install_panic_hook();
    let code = match Cli::try_parse() {
        Ok(cli) => {
            logging::start(cli.verbose, cli.quiet);
            // No more threads than a container's quota allows, whatever the command.
            repghost_train::runtime::set_threads(None);
            exit::report(commands::run(cli.command, cli.quiet), cli.verbose)
        }
        Err(e) => {
            let code = exit::usage(&e);
            if let Some(hint) = flag_hint::of(&e) {
                eprintln!("{hint}");
            }
            code
        }
    };
    exit::when_all_is_written(code)
}
