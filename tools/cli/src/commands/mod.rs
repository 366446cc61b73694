//! One file a command: its arguments as plain data, and a `run` that hands them to the crates below.
//!
//! To add a command: a file here with `pub struct Args` (derive `clap::Args`) and `pub fn run(args: Args) -> anyhow::Result<Outcome>`,
//! a variant below with worked examples in `after_help`, and a line in [`run`].

pub mod config;
pub mod doctor;

use clap::Subcommand;

use crate::exit::Outcome;

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what an experiment file resolves to and who set each value, or how two differ.
    #[command(after_help = config::EXAMPLES)]
    Config(config::Args),
    /// Show versions, libraries and devices: what is found, what is not, and where was looked.
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
}

/// Runs a command.
pub fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Config(args) => config::run(args),
        Command::Doctor(args) => doctor::run(args),
    }
}
